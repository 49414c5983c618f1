import type { AccessFacet, StoreRole } from '@keyframe/contracts';
import type { Account } from './account.ts';
import type { AzureOptions } from './options.ts';

const BLOBS = 'Microsoft.Storage/storageAccounts/blobServices/containers/blobs';

/** `add` writes new objects only; `write` replaces, too. */
const DATA_ACTIONS: Readonly<Record<StoreRole, readonly string[]>> = {
  writer: ['read', 'add/action'],
  restorer: ['read'],
  pruner: ['read', 'add/action', 'delete', 'deleteBlobVersion/action'],
  owner: [
    'read',
    'write',
    'add/action',
    'delete',
    'deleteBlobVersion/action',
    'tags/read',
    'tags/write',
    'filter/action',
  ],
};

/** r read, l list, c create, w write, d delete, x delete version, t tags, i immutability. */
const SAS: Readonly<Record<StoreRole, string>> = { writer: 'rcl', restorer: 'rl', pruner: 'rcdxl', owner: 'rcwdxlti' };

/** A role of one's own and its assignment to the container, and the permissions of a SAS that does the same. */
export function accessFacet({ container }: AzureOptions, account: Account): AccessFacet {
  return {
    policy: (role) => {
      const definition = {
        Name: `Keyframe ${role} (${account.name}/${container})`,
        IsCustom: true,
        Description: `What the ${role} of a Keyframe repository needs`,
        Actions: ['Microsoft.Storage/storageAccounts/blobServices/containers/read'],
        DataActions: DATA_ACTIONS[role].map((action) => `${BLOBS}/${action}`),
        AssignableScopes: ['/subscriptions/SUBSCRIPTION'],
      };
      const scope = `/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/${account.name}/blobServices/default/containers/${container}`;
      const lines = [
        `az role definition create --role-definition '${JSON.stringify(definition)}'`,
        `az role assignment create --assignee IDENTITY --role '${definition.Name}' --scope ${scope}`,
        '# or a SAS, instead of the role:',
        `az storage container generate-sas --account-name ${account.name} --name ${container} --permissions ${SAS[role]} --https-only --auth-mode login --as-user --expiry EXPIRY`,
      ];
      return {
        language: 'sh',
        document: `${lines.join('\n')}\n`,
        note: `Put in SUBSCRIPTION, GROUP, IDENTITY and EXPIRY, and run one of the two as an owner of the account. Rights are on the whole container: give each repository its own.${
          role === 'writer' ? ' The writer can neither remove nor replace an object.' : ''
        }`,
      };
    },
  };
}
