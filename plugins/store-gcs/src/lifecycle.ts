import { KeyframeError, type LifecycleFacet, type LifecycleRule } from '@keyframe/contracts';
import type { Gcs } from './gcs.ts';

interface GcsRule {
  readonly action?: { readonly type?: string; readonly storageClass?: string };
  readonly condition?: Readonly<Record<string, unknown>>;
}

interface Bucket {
  readonly lifecycle?: { readonly rule?: readonly GcsRule[] };
  readonly metageneration?: string;
}

type Action = LifecycleRule['action'];

/**
 * Rules of a bucket. Google's have no names: one is ours when it says what ours say, and no more, about objects under
 * this store's prefix only. They cannot name metadata, so there are no rules by tag.
 */
export function lifecycleFacet(gcs: Gcs): LifecycleFacet {
  const home = gcs.options.prefix;
  const ask = (signal: AbortSignal | undefined): Promise<Bucket> =>
    gcs.json<Bucket>({ method: 'GET', path: gcs.bucketPath, query: { fields: 'lifecycle,metageneration' }, signal });
  return {
    actions: ['transition', 'expire-old-versions', 'abort-uploads'],
    read: async ({ signal } = {}) => {
      const rules: LifecycleRule[] = [];
      const foreign: string[] = [];
      for (const [index, rule] of ((await ask(signal)).lifecycle?.rule ?? []).entries()) {
        const action = actionOf(rule);
        const prefixes = prefixesHere(rule, home);
        if (action === undefined || prefixes.length === 0) foreign.push(JSON.stringify(rule));
        else {
          const name = `${isOurs(rule, home) ? 'keyframe' : 'rule'}-${index + 1}`;
          rules.push(...prefixes.map((prefix, at) => ({ id: at === 0 ? name : `${name}-${at + 1}`, prefix, action })));
        }
      }
      return { rules, foreign };
    },
    write: async (rules, { signal } = {}) => {
      const wanted = rules.map((rule) => inTheirTerms(rule, home));
      const { lifecycle, metageneration } = await ask(signal);
      const others = (lifecycle?.rule ?? []).filter((rule) => !isOurs(rule, home));
      await gcs.done({
        method: 'PATCH',
        path: gcs.bucketPath,
        // Somebody else's change in between is not overwritten.
        query: { ifMetagenerationMatch: metageneration, fields: 'lifecycle' },
        json: { lifecycle: { rule: [...others, ...wanted] } },
        signal,
      });
    },
  };
}

function inTheirTerms({ id, prefix, tag, action }: LifecycleRule, home: string): GcsRule {
  if (tag !== undefined)
    throw new KeyframeError('UNSUPPORTED', `rule ${id}: rules of Google Cloud Storage cannot name tags`, {
      hint: 'Leave the tag out: choose the objects by prefix.',
    });
  const matchesPrefix = home + prefix === '' ? {} : { matchesPrefix: [home + prefix] };
  switch (action.kind) {
    case 'transition':
      return {
        action: { type: 'SetStorageClass', storageClass: action.storageClass },
        condition: { age: action.afterDays, ...matchesPrefix },
      };
    case 'expire-old-versions':
      return { action: { type: 'Delete' }, condition: { daysSinceNoncurrentTime: action.afterDays, ...matchesPrefix } };
    case 'abort-uploads':
      return {
        action: { type: 'AbortIncompleteMultipartUpload' },
        condition: { age: action.afterDays, ...matchesPrefix },
      };
    case 'expire':
      break;
  }
  throw new KeyframeError('INVALID_OPTION', `rule ${id} would remove objects by age, backups among them`);
}

/** What the rule does, when it can be said in our terms. */
function actionOf({ action, condition = {} }: GcsRule): Action | undefined {
  const { matchesPrefix: _, ...limits } = condition;
  const [limit, ...more] = Object.entries(limits);
  if (limit === undefined || more.length > 0) return undefined;
  const [name, value] = limit;
  const afterDays = Number(value);
  if (name === 'daysSinceNoncurrentTime')
    return action?.type === 'Delete' ? { kind: 'expire-old-versions', afterDays } : undefined;
  if (name !== 'age') return undefined;
  if (action?.type === 'Delete') return { kind: 'expire', afterDays };
  if (action?.type === 'AbortIncompleteMultipartUpload') return { kind: 'abort-uploads', afterDays };
  if (action?.type !== 'SetStorageClass') return undefined;
  return { kind: 'transition', afterDays, storageClass: action.storageClass ?? '' };
}

function prefixesOf({ condition = {} }: GcsRule): readonly string[] {
  const { matchesPrefix } = condition;
  return Array.isArray(matchesPrefix) ? matchesPrefix.map(String) : [''];
}

/** Which of our objects the rule strikes, as prefixes of keys. */
function prefixesHere(rule: GcsRule, home: string): string[] {
  return prefixesOf(rule).flatMap((prefix) => {
    if (prefix.startsWith(home)) return [prefix.slice(home.length)];
    return home.startsWith(prefix) ? [''] : [];
  });
}

function isOurs(rule: GcsRule, home: string): boolean {
  const kind = actionOf(rule)?.kind;
  return kind !== undefined && kind !== 'expire' && prefixesOf(rule).every((prefix) => prefix.startsWith(home));
}
