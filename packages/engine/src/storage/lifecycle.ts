/**
 * The bucket's own rules, and what waits in an archive.
 *
 * No rule ever removes an object by its age: the newest backup may need packs of any age. What only old backups need is
 * tagged, and the one rule that moves objects names the tag; where a store has no tags the objects are moved by themselves.
 * @packageDocumentation
 */
import {
  type Abortable,
  ignoring,
  KeyframeError,
  type LifecycleRule,
  type Store,
  type StorageClass,
} from '@keyframe/contracts';
import { type ClusterHistory, coldPacks } from '@keyframe/repository';
import { inTurns } from '../in-turns.ts';

/** Tag of what may go to an archive class. */
const TAG = { key: 'keyframe-tier', value: 'archive' } as const;
const ABORT_DAYS = 2;
const OLD_VERSION_DAYS = 7;

/** One store, and what the config file asks of it. */
export interface LifecycleStore {
  readonly name: string;
  readonly store: Store;
  readonly archive: { readonly afterMs: number; readonly storageClass: string } | undefined;
}

/** A repository and the clusters in it. */
export interface LifecycleContext {
  readonly stores: readonly LifecycleStore[];
  readonly clusters: readonly ClusterHistory[];
  readonly immutable: boolean;
  readonly now: () => Date;
}

/** What is to be done to one store. */
export interface StoreLifecycle {
  readonly name: string;
  /** False: this kind of store has no rules of its own; what follows is empty but for the moves. */
  readonly hasRules: boolean;
  readonly wanted: readonly LifecycleRule[];
  /** Rules of Keyframe's that are not there, or say something else. */
  readonly missing: readonly LifecycleRule[];
  /** Rules of Keyframe's that are there and are not wanted any more. */
  readonly obsolete: readonly LifecycleRule[];
  /** Rules of others, which stay. */
  readonly foreign: readonly string[];
  /** Packs that only old backups need and that are not in the archive yet. */
  readonly moves: { readonly objects: number; readonly bytes: number; readonly storageClass: string | undefined };
  readonly keys: readonly string[];
}

/** @throws {KeyframeError} INVALID_OPTION for a class that a store does not have; ACCESS_DENIED, UNAVAILABLE */
export async function planLifecycle(context: LifecycleContext, options: Abortable = {}): Promise<StoreLifecycle[]> {
  return Promise.all(context.stores.map((each) => planStore(each, context, options)));
}

async function planStore(
  { name, store, archive }: LifecycleStore,
  { clusters, immutable, now }: LifecycleContext,
  options: Abortable,
): Promise<StoreLifecycle> {
  if (archive !== undefined) assertClass(name, store, archive.storageClass);
  const cold =
    archive === undefined
      ? []
      : await coldIn(store, clusters, new Date(now().getTime() - archive.afterMs), archive.storageClass, options);
  return {
    name,
    ...(await planRules(store, { archive: archive?.storageClass, immutable }, options)),
    moves: {
      objects: cold.length,
      bytes: cold.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      storageClass: archive?.storageClass,
    },
    keys: cold.map(({ key }) => key),
  };
}

const NO_RULES = { hasRules: false, wanted: [], missing: [], obsolete: [], foreign: [] };

async function planRules(
  { lifecycle, tags, versions }: Store,
  { archive, immutable }: { readonly archive: string | undefined; readonly immutable: boolean },
  options: Abortable,
): Promise<Omit<StoreLifecycle, 'name' | 'moves' | 'keys'>> {
  if (lifecycle === undefined) return NO_RULES;
  const versioned = (await versions?.enabled(options)) ?? false;
  const known = new Set(lifecycle.actions);
  const wanted = rulesFor({ archive: tags === undefined ? undefined : archive, versioned, immutable }).filter(
    ({ action }) => known.has(action.kind),
  );
  const rules = { ...NO_RULES, hasRules: true, wanted };
  const there = await lifecycle.read(options).catch(ignoring('UNSUPPORTED'));
  // A server that speaks the provider's protocol and has no rules.
  if (there === undefined) return NO_RULES;
  const own = there.rules.filter(({ id }) => id.startsWith('keyframe-'));
  const others = there.rules.filter((rule) => !own.includes(rule));
  return {
    ...rules,
    missing: wanted.filter((rule) => !own.some((other) => isSame(rule, other))),
    obsolete: own.filter(({ id }) => !wanted.some((rule) => rule.id === id)),
    foreign: [
      ...others.map(({ id, action }) => `${id}: ${action.kind} after ${action.afterDays} days`),
      ...there.foreign,
    ],
  };
}

function assertClass(name: string, { tiers }: Store, storageClass: string): void {
  const classes: readonly StorageClass[] = tiers?.classes ?? [];
  if (classes.some((each) => each.name === storageClass)) return;
  throw new KeyframeError('INVALID_OPTION', `the store ${name} has no storage class ${JSON.stringify(storageClass)}`, {
    hint:
      classes.length === 0
        ? 'Remove `archive` from this store: it has no storage classes.'
        : `Set archive.class to one of: ${classes.map((each) => each.name).join(', ')}.`,
  });
}

function rulesFor({
  archive,
  versioned,
  immutable,
}: {
  archive: string | undefined;
  versioned: boolean;
  immutable: boolean;
}): LifecycleRule[] {
  const rules: LifecycleRule[] = [
    { id: 'keyframe-abort-uploads', prefix: '', action: { kind: 'abort-uploads', afterDays: ABORT_DAYS } },
  ];
  if (archive !== undefined)
    rules.push({
      id: 'keyframe-archive',
      prefix: '',
      tag: TAG,
      action: { kind: 'transition', afterDays: 1, storageClass: archive },
    });
  // Where objects are locked, a hidden version may be the only right one: just leases are cleared there.
  if (versioned)
    rules.push({
      id: 'keyframe-old-versions',
      prefix: immutable ? 'leases/' : '',
      action: { kind: 'expire-old-versions', afterDays: immutable ? 1 : OLD_VERSION_DAYS },
    });
  return rules;
}

function isSame(one: LifecycleRule, other: LifecycleRule): boolean {
  const text = ({ id, prefix, tag, action }: LifecycleRule): string =>
    JSON.stringify([
      id,
      prefix,
      tag?.key,
      tag?.value,
      action.kind,
      action.afterDays,
      action.kind === 'transition' ? action.storageClass : '',
    ]);
  return text(one) === text(other);
}

/** Cold objects that are neither tagged nor in that class. One listing tells the class; only what is left is asked for tags. */
async function coldIn(
  store: Store,
  clusters: readonly ClusterHistory[],
  youngSince: Date,
  storageClass: string,
  options: Abortable,
): Promise<{ key: string; sizeBytes: number }[]> {
  const cold = new Map<string, { key: string; sizeBytes: number }>();
  for (const cluster of clusters) {
    const surveys = await (await cluster.retention(options)).survey(options);
    for (const each of coldPacks(surveys, youngSince)) cold.set(each.key, each);
  }
  if (cold.size === 0) return [];
  const left: { key: string; sizeBytes: number }[] = [];
  for await (const { key, sizeBytes, storageClass: now } of store.list('clusters/', options))
    if (cold.has(key) && now !== storageClass) left.push({ key, sizeBytes });
  const { tags } = store;
  if (tags === undefined) return left;
  const tagged = await inTurns(left, async ({ key }) => (await tags.of(key, options))[TAG.key] === TAG.value);
  return left.filter((_, at) => tagged[at] !== true);
}

/** What {@link applyLifecycle} did to one store. */
export interface AppliedLifecycle {
  readonly name: string;
  readonly rules: number;
  readonly moved: number;
}

/** Carries out a plan. Done again it changes nothing; interrupted, the next run does the rest. */
export async function applyLifecycle(
  plans: readonly StoreLifecycle[],
  { stores }: LifecycleContext,
  options: Abortable = {},
): Promise<AppliedLifecycle[]> {
  const done: AppliedLifecycle[] = [];
  for (const { name, wanted, missing, obsolete, keys, moves } of plans) {
    const store = stores.find((each) => each.name === name)?.store;
    if (store === undefined) continue;
    const changes = missing.length + obsolete.length;
    if (changes > 0) await store.lifecycle?.write(wanted, options);
    await inTurns(keys, async (key) => archiveOne(store, key, moves.storageClass ?? '', options));
    done.push({ name, rules: changes, moved: keys.length });
  }
  return done;
}

async function archiveOne(
  { tags, tiers }: Store,
  key: string,
  storageClass: string,
  options: Abortable,
): Promise<void> {
  if (tags === undefined) await tiers?.move(key, storageClass, options);
  else await tags.set(key, { ...(await tags.of(key, options)), [TAG.key]: TAG.value }, options);
}
