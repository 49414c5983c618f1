import { createHash } from 'node:crypto';
import { KeyframeError, type LifecycleFacet, type LifecycleRule } from '@keyframe/contracts';
import { throttleDetails } from '@keyframe/http';
import { type Azure, blobNameOf, textOfBlobName } from './azure.ts';
import type { Management } from './options.ts';
import { tokensOf } from './tokens.ts';

const TIER_ACTIONS: Readonly<Record<string, string>> = {
  Cool: 'tierToCool',
  Cold: 'tierToCold',
  Archive: 'tierToArchive',
};

interface Days {
  readonly daysAfterModificationGreaterThan?: number;
  readonly daysAfterCreationGreaterThan?: number;
}

interface AzureRule {
  readonly name: string;
  readonly enabled?: boolean;
  readonly type?: string;
  readonly definition: {
    readonly filters?: {
      readonly blobTypes?: readonly string[];
      readonly prefixMatch?: readonly string[];
      readonly blobIndexMatch?: ReadonlyArray<{ readonly name: string; readonly op: string; readonly value: string }>;
    };
    readonly actions: {
      readonly baseBlob?: Readonly<Record<string, Days>>;
      readonly version?: Readonly<Record<string, Days>>;
      readonly snapshot?: object;
    };
  };
}

interface Policy {
  readonly properties?: { readonly policy?: { readonly rules?: readonly AzureRule[] } };
}

/**
 * Rules of the account, by its management API, since the credentials for blobs do not open them. All containers share
 * them: the name of each of ours ends in what stands for this container and prefix.
 */
export function lifecycleFacet(azure: Azure, management: Management): LifecycleFacet {
  const { container, prefix } = azure.options;
  const home = `${container}/${blobNameOf(prefix)}`;
  const mark = `-${createHash('sha256').update(home).digest('hex').slice(0, 8)}`;
  const api = managementApi(azure, management);
  const read = async (signal: AbortSignal | undefined): Promise<readonly AzureRule[]> =>
    (await api('GET', undefined, signal))?.properties?.policy?.rules ?? [];
  const isOurs = ({ name }: AzureRule): boolean => name.startsWith('keyframe-') && name.endsWith(mark);
  return {
    actions: ['transition', 'expire-old-versions'],
    read: async ({ signal } = {}) => {
      const rules: LifecycleRule[] = [];
      const foreign: string[] = [];
      for (const rule of await read(signal)) {
        const known = inOurTerms(rule, home);
        const id = isOurs(rule) ? rule.name.slice(0, -mark.length) : `rule-${rule.name}`;
        if (known === undefined) foreign.push(JSON.stringify(rule));
        else for (const each of known) rules.push({ id, ...each });
      }
      return { rules, foreign };
    },
    write: async (rules, { signal } = {}) => {
      const wanted = rules.map((rule) => inTheirTerms(rule, home, mark));
      const others = (await read(signal)).filter((rule) => !isOurs(rule));
      const all = [...others, ...wanted];
      // The service wants at least one rule, or no policy.
      if (all.length === 0) await api('DELETE', undefined, signal);
      else await api('PUT', { properties: { policy: { rules: all } } }, signal);
    },
  };
}

type Api = (
  method: 'GET' | 'PUT' | 'DELETE',
  json: object | undefined,
  signal: AbortSignal | undefined,
) => Promise<Policy | undefined>;

function managementApi(azure: Azure, { subscription, resourceGroup, endpoint }: Management): Api {
  const account = azure.account.name;
  const path = ['subscriptions', subscription, 'resourceGroups', resourceGroup, 'providers', 'Microsoft.Storage']
    .concat('storageAccounts', account, 'managementPolicies', 'default')
    .map(encodeURIComponent)
    .join('/');
  const url = new URL(`${endpoint}/${path}?api-version=2023-05-01`);
  const tokens = tokensOf(azure.options, () => azure.now(), `${endpoint}/.default`);
  return async (method, json, signal) => {
    signal?.throwIfAborted();
    const body = json === undefined ? undefined : [Buffer.from(JSON.stringify(json))];
    const headers = {
      ...(azure.options.auth === 'anonymous' ? {} : { authorization: `Bearer ${await tokens(signal)}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(body[0]?.length) }),
    };
    const { response, text } = await azure.elsewhere({ method, url, headers, body, signal });
    const { status } = response;
    if (status === 404) return undefined;
    if (status < 300) return text === '' ? undefined : (JSON.parse(text) as Policy);
    const what = `the lifecycle rules of the account ${account}: status ${status}`;
    if (status === 401 || status === 403)
      throw new KeyframeError('ACCESS_DENIED', what, {
        cause: new Error(text),
        hint: 'Give the identity of `auth` the role Storage Account Contributor, or leave `management` out.',
      });
    const transient = status >= 500 || status === 429;
    throw new KeyframeError(transient ? 'UNAVAILABLE' : 'INVALID_OPTION', what, {
      cause: new Error(text),
      hint: 'Check `management` and the account.',
      details: { status, ...throttleDetails(status, response.headers, azure.now()) },
    });
  };
}

function inTheirTerms({ id, prefix, tag, action }: LifecycleRule, home: string, mark: string): AzureRule {
  return {
    name: id + mark,
    enabled: true,
    type: 'Lifecycle',
    definition: {
      filters: {
        blobTypes: ['blockBlob'],
        prefixMatch: [home + blobNameOf(prefix)],
        ...(tag === undefined ? {} : { blobIndexMatch: [{ name: tag.key, op: '==', value: tag.value }] }),
      },
      actions: actionsOf(id, action),
    },
  };
}

function actionsOf(id: string, action: LifecycleRule['action']): AzureRule['definition']['actions'] {
  if (action.kind === 'expire-old-versions')
    return { version: { delete: { daysAfterCreationGreaterThan: action.afterDays } } };
  const name = action.kind === 'transition' ? TIER_ACTIONS[action.storageClass] : undefined;
  if (name === undefined)
    throw new KeyframeError('UNSUPPORTED', `rule ${id}: Azure has no such rule (${action.kind})`, {
      hint: 'Set the class of the policy to Cool, Cold or Archive. Azure removes unfinished uploads by itself after a week.',
    });
  return { baseBlob: { [name]: { daysAfterModificationGreaterThan: action.afterDays } } };
}

type Known = Omit<LifecycleRule, 'id'>;

/** What the rule does to objects of this store, when it can be said in our terms; nothing is foreign, too. */
function inOurTerms({ definition: { filters = {}, actions } }: AzureRule, home: string): Known[] | undefined {
  const action = actionIn(actions);
  const [tag, ...moreTags] = filters.blobIndexMatch ?? [];
  if (action === undefined || moreTags.length > 0 || (tag !== undefined && tag.op !== '==')) return undefined;
  const prefixes = (filters.prefixMatch ?? ['']).flatMap((prefix) => {
    if (prefix.startsWith(home)) return [textOfBlobName(prefix.slice(home.length))];
    return home.startsWith(prefix) ? [''] : [];
  });
  if (prefixes.length === 0) return undefined;
  const named = tag === undefined ? undefined : { key: tag.name, value: tag.value };
  return prefixes.map((prefix) => ({ prefix, tag: named, action }));
}

function actionIn({
  baseBlob = {},
  version = {},
  snapshot,
}: AzureRule['definition']['actions']): Known['action'] | undefined {
  const all = [
    ...Object.entries(baseBlob).map(([name, days]) => ({ on: 'base', name, days })),
    ...Object.entries(version).map(([name, days]) => ({ on: 'version', name, days })),
  ];
  const [only, ...more] = all;
  if (only === undefined || more.length > 0 || snapshot !== undefined) return undefined;
  const { on, name, days } = only;
  const afterDays = days.daysAfterModificationGreaterThan ?? days.daysAfterCreationGreaterThan;
  if (afterDays === undefined) return undefined;
  if (name === 'delete') return { kind: on === 'base' ? 'expire' : 'expire-old-versions', afterDays };
  const storageClass = Object.entries(TIER_ACTIONS).find(([, each]) => each === name)?.[0];
  return on === 'base' && storageClass !== undefined ? { kind: 'transition', afterDays, storageClass } : undefined;
}
