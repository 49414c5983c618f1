import { createHash } from 'node:crypto';
import { KeyframeError, type LifecycleFacet, type LifecycleRule } from '@keyframe/contracts';
import type { Gcs } from './gcs.ts';

interface GcsRule {
  readonly action?: { readonly type?: string; readonly storageClass?: string };
  readonly condition?: Readonly<Record<string, unknown>>;
}

interface Bucket {
  readonly lifecycle?: { readonly rule?: readonly GcsRule[] };
  readonly labels?: Readonly<Record<string, string>>;
  readonly metageneration?: string;
}

type Action = LifecycleRule['action'];

/** Labels of the bucket that begin so name our rules: Google's rules have no names of their own. */
const LABEL = 'keyframe-rule-';

/**
 * Rules of a bucket. A label holds the id of each of ours, and is called by what the rule says: a rule that somebody
 * changed is ours no more. Rules cannot name metadata, so there are none by tag.
 */
export function lifecycleFacet(gcs: Gcs): LifecycleFacet {
  const home = gcs.options.prefix;
  const query = { fields: 'lifecycle,labels,metageneration' };
  const ask = (signal: AbortSignal | undefined): Promise<Bucket> =>
    gcs.json<Bucket>({ method: 'GET', path: gcs.bucketPath, query, signal });
  return {
    actions: ['transition', 'expire-old-versions', 'abort-uploads'],
    read: async ({ signal } = {}) => {
      const rules: LifecycleRule[] = [];
      const foreign: string[] = [];
      const { lifecycle, labels = {} } = await ask(signal);
      for (const [index, rule] of (lifecycle?.rule ?? []).entries()) {
        const action = actionOf(rule);
        const prefixes = prefixesHere(rule, home);
        const own = isHere(rule, home) ? labels[labelOf(rule)] : undefined;
        if (action === undefined || prefixes.length === 0) foreign.push(JSON.stringify(rule));
        else rules.push(...prefixes.map((prefix) => ({ id: own ?? `rule-${index + 1}`, prefix, action })));
      }
      return { rules, foreign };
    },
    write: async (rules, { signal } = {}) => {
      const wanted = rules.map((rule) => inTheirTerms(rule, home));
      const { lifecycle, labels = {}, metageneration } = await ask(signal);
      const isOurs = (rule: GcsRule): boolean => isHere(rule, home) && labelOf(rule) in labels;
      const [old, others] = [true, false].map((ours) =>
        (lifecycle?.rule ?? []).filter((rule) => isOurs(rule) === ours),
      );
      await gcs.done({
        method: 'PATCH',
        path: gcs.bucketPath,
        // Somebody else's change in between is not overwritten.
        query: { ifMetagenerationMatch: metageneration, fields: 'lifecycle' },
        json: {
          lifecycle: { rule: [...(others ?? []), ...wanted] },
          labels: {
            ...Object.fromEntries((old ?? []).map((rule) => [labelOf(rule), null])),
            ...Object.fromEntries(wanted.map((rule, index) => [labelOf(rule), rules[index]?.id])),
          },
        },
        signal,
      });
    },
  };
}

/** By what the rule says, however the service writes it. */
function labelOf(rule: GcsRule): string {
  const text = JSON.stringify([actionOf(rule), prefixesOf(rule).toSorted()]);
  return LABEL + createHash('sha256').update(text).digest('hex').slice(0, 16);
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

/** It strikes objects of this store only. */
const isHere = (rule: GcsRule, home: string): boolean => prefixesOf(rule).every((prefix) => prefix.startsWith(home));
