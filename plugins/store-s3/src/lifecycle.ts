import { createHash } from 'node:crypto';
import type { LifecycleRule as Rule, TransitionStorageClass } from '@aws-sdk/client-s3';
import { hasCode, isKeyframeError, type LifecycleFacet, type LifecycleRule } from '@keyframe/contracts';
import { abort, type Bucket } from './bucket.ts';
import { isAws } from './options.ts';

const OURS = 'keyframe-';

/** The bucket's lifecycle configuration: one document for everybody who writes rules. */
export function lifecycleOf(bucket: Bucket): LifecycleFacet {
  return {
    actions: ['transition', 'expire-old-versions', 'abort-uploads', 'expire'],
    async read({ signal } = {}) {
      const read = (await readRules(bucket, signal)).map((rule) => understood(bucket, rule));
      return { rules: read.flatMap(({ rules }) => rules), foreign: read.flatMap(({ foreign }) => foreign) };
    },
    async write(rules, { signal } = {}) {
      const others = (await readRules(bucket, signal)).filter((rule) => !isOurs(bucket, rule));
      const send = (wanted: readonly LifecycleRule[]): Promise<void> =>
        putRules(bucket, [...others, ...wanted.map((rule) => worded(bucket, rule))], signal);
      const known = rules.filter(({ action }) => action.kind !== 'abort-uploads');
      await send(rules).catch((error: unknown) => {
        // MinIO clears unfinished uploads by itself, and knows no rule for that.
        if (isAws(bucket.options) || known.length === rules.length || !hasCode(error, 'UNSUPPORTED')) throw error;
        bucket.host.log.warn('the store takes no rule about unfinished uploads: the other rules are set without it');
        return send(known);
      });
    },
  };
}

async function putRules(bucket: Bucket, Rules: Rule[], signal: AbortSignal | undefined): Promise<void> {
  await bucket.send({ action: 's3:PutLifecycleConfiguration', bucket: true }, signal, ({ client, sdk }) =>
    Rules.length === 0
      ? client.send(new sdk.DeleteBucketLifecycleCommand({ Bucket: bucket.name }), abort(signal))
      : client.send(
          new sdk.PutBucketLifecycleConfigurationCommand({ Bucket: bucket.name, LifecycleConfiguration: { Rules } }),
          abort(signal),
        ),
  );
}

async function readRules(bucket: Bucket, signal: AbortSignal | undefined): Promise<readonly Rule[]> {
  const about = { action: 's3:GetLifecycleConfiguration', bucket: true };
  const found = await bucket
    .send(about, signal, ({ client, sdk }) =>
      client.send(new sdk.GetBucketLifecycleConfigurationCommand({ Bucket: bucket.name }), abort(signal)),
    )
    .catch((error: unknown) => {
      if (!isKeyframeError(error) || error.details['reason'] !== 'NoSuchLifecycleConfiguration') throw error;
      return undefined;
    });
  return found?.Rules ?? [];
}

/** Ids are unique in a bucket, which several stores may share: each marks its own. */
const markOf = ({ options }: Bucket): string =>
  options.prefix === '' ? '' : `-${createHash('sha256').update(options.prefix).digest('hex').slice(0, 8)}`;

const prefixOf = ({ Filter, Prefix }: Rule): string => Filter?.And?.Prefix ?? Filter?.Prefix ?? Prefix ?? '';

const isOurs = (bucket: Bucket, rule: Rule): boolean =>
  (rule.ID ?? '').startsWith(OURS) && prefixOf(rule).startsWith(bucket.options.prefix);

/** Our words as the bucket's. */
function worded(bucket: Bucket, { id, prefix, tag, action }: LifecycleRule): Rule {
  const Prefix = bucket.options.prefix + prefix;
  const Tag = tag === undefined ? undefined : { Key: tag.key, Value: tag.value };
  return {
    ID: `${id}${markOf(bucket)}`,
    Status: 'Enabled',
    // `And` is for two conditions or more.
    Filter: Tag === undefined ? { Prefix } : Prefix === '' ? { Tag } : { And: { Prefix, Tags: [Tag] } },
    ...actionWords(action, Tag !== undefined),
  };
}

function actionWords(action: LifecycleRule['action'], tagged: boolean): Partial<Rule> {
  const days = action.afterDays;
  switch (action.kind) {
    case 'transition':
      return { Transitions: [{ Days: days, StorageClass: action.storageClass as TransitionStorageClass }] };
    case 'expire-old-versions':
      return {
        NoncurrentVersionExpiration: { NoncurrentDays: days },
        // Markers have no tags.
        ...(!tagged && { Expiration: { ExpiredObjectDeleteMarker: true } }),
      };
    case 'abort-uploads':
      return { AbortIncompleteMultipartUpload: { DaysAfterInitiation: days } };
    case 'expire':
      return { Expiration: { Days: days } };
    default:
      return action satisfies never;
  }
}

interface Understood {
  readonly rules: readonly LifecycleRule[];
  readonly foreign: readonly string[];
}

/** The bucket's words as ours, as far as they are about objects of this store. */
function understood(bucket: Bucket, rule: Rule): Understood {
  const own = bucket.options.prefix;
  const prefix = prefixOf(rule);
  const concerns = rule.Status === 'Enabled' && (prefix.startsWith(own) || own.startsWith(prefix));
  if (!concerns) return { rules: [], foreign: [] };
  const id = idOf(bucket, rule);
  const choice = tagOf(rule);
  if (choice === undefined)
    return { rules: [], foreign: [`${id}: it chooses objects by more than a prefix and a tag`] };
  const common = { id, prefix: prefix.slice(own.length), ...choice };
  return {
    rules: actionsOf(rule).map((action) => Object.assign({ action }, common)),
    foreign: othersOf(rule).map((what) => `${id}: ${what}`),
  };
}

function idOf(bucket: Bucket, { ID = '' }: Rule): string {
  const mark = markOf(bucket);
  return ID.startsWith(OURS) && mark !== '' && ID.endsWith(mark) ? ID.slice(0, -mark.length) : ID;
}

/** The tag that a rule asks for, if it does; `undefined` where it asks for more than that. */
function tagOf({ Filter = {} }: Rule): Pick<LifecycleRule, 'tag'> | undefined {
  const { And, Tag } = Filter;
  const { ObjectSizeGreaterThan, ObjectSizeLessThan } = And ?? Filter;
  const tags = And?.Tags ?? (Tag === undefined ? [] : [Tag]);
  if (tags.length > 1 || ObjectSizeGreaterThan !== undefined || ObjectSizeLessThan !== undefined) return undefined;
  const [tag] = tags;
  return tag === undefined ? {} : { tag: { key: tag.Key ?? '', value: tag.Value ?? '' } };
}

function actionsOf(rule: Rule): LifecycleRule['action'][] {
  const { Transitions = [], NoncurrentVersionExpiration, AbortIncompleteMultipartUpload, Expiration } = rule;
  const actions: LifecycleRule['action'][] = Transitions.flatMap(({ Days, StorageClass = '' }) =>
    Days === undefined ? [] : [{ kind: 'transition' as const, afterDays: Days, storageClass: StorageClass }],
  );
  const old = NoncurrentVersionExpiration?.NoncurrentDays;
  if (old !== undefined) actions.push({ kind: 'expire-old-versions', afterDays: old });
  const uploads = AbortIncompleteMultipartUpload?.DaysAfterInitiation;
  if (uploads !== undefined) actions.push({ kind: 'abort-uploads', afterDays: uploads });
  if (Expiration?.Days !== undefined) actions.push({ kind: 'expire', afterDays: Expiration.Days });
  return actions;
}

function othersOf({ Transitions = [], NoncurrentVersionTransitions = [], Expiration }: Rule): string[] {
  return [
    ...(Transitions.some(({ Date: at }) => at !== undefined) ? ['it moves objects at a date'] : []),
    ...(NoncurrentVersionTransitions.length > 0 ? ['it moves old versions to another class'] : []),
    ...(Expiration?.Date === undefined ? [] : ['it removes objects at a date']),
  ];
}
