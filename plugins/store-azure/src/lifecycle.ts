import { KeyframeError, type LifecycleFacet, type LifecycleRule } from '@keyframe/contracts';
import { type Azure, blobNameOf } from './azure.ts';

const TIER_ACTIONS: Readonly<Record<string, string>> = {
  Cool: 'tierToCool',
  Cold: 'tierToCold',
  Archive: 'tierToArchive',
};

/** Rules belong to the account and are set by its management API, which credentials for blobs do not open: a document for `az`. */
export function lifecycleFacet(azure: Azure): LifecycleFacet {
  const { name } = azure.account;
  const refuse = async (): Promise<never> => {
    throw new KeyframeError('UNSUPPORTED', `the lifecycle rules of the account ${name} are set by its management API`, {
      hint: `Use the document of \`keyframe lifecycle plan\`: \`az storage account management-policy create --account-name ${name} --policy @FILE\`.`,
    });
  };
  return {
    actions: ['transition', 'expire-old-versions'],
    read: refuse,
    write: refuse,
    document: (rules) => ({
      language: 'json',
      document: `${JSON.stringify({ rules: rules.map((rule) => inTheirTerms(azure, rule)) }, undefined, 2)}\n`,
      note: `A policy replaces all rules of the account: merge it with what \`az storage account management-policy show --account-name ${name} --resource-group GROUP\` prints, then \`az storage account management-policy create --account-name ${name} --resource-group GROUP --policy @FILE\`.`,
    }),
  };
}

function inTheirTerms({ options }: Azure, { id, prefix, tag, action }: LifecycleRule): object {
  return {
    name: id,
    enabled: true,
    type: 'Lifecycle',
    definition: {
      filters: {
        blobTypes: ['blockBlob'],
        prefixMatch: [`${options.container}/${blobNameOf(options.prefix + prefix)}`],
        ...(tag === undefined ? {} : { blobIndexMatch: [{ name: tag.key, op: '==', value: tag.value }] }),
      },
      actions: actionsOf(id, action),
    },
  };
}

function actionsOf(id: string, action: LifecycleRule['action']): object {
  if (action.kind === 'expire-old-versions')
    return { version: { delete: { daysAfterCreationGreaterThan: action.afterDays } } };
  const name = action.kind === 'transition' ? TIER_ACTIONS[action.storageClass] : undefined;
  if (name === undefined)
    throw new KeyframeError('UNSUPPORTED', `rule ${id}: Azure has no such rule (${action.kind})`, {
      hint: 'Set the tier of the policy to Cool, Cold or Archive. Unfinished uploads Azure removes by itself after a week.',
    });
  return { baseBlob: { [name]: { daysAfterModificationGreaterThan: action.afterDays } } };
}
