/** Several stores that hold the same objects, as one store. @packageDocumentation */
import {
  type Abortable,
  assertObjectKey,
  ignoring,
  KeyframeError,
  type ObjectInfo,
  type PutOptions,
  type ByteSource,
  type Store,
  type StoreCapabilities,
} from '@keyframe/contracts';
import { IDENTITY_KEY } from '../keys.ts';
import { CatchUp, type CatchUpReport } from './catch-up.ts';
import type { CheckObject } from './copy-object.ts';
import { createObject, refusal } from './create.ts';
import type { OnMirrorEvent } from './events.ts';
import { addStore, writeIdentity } from './identity-writer.ts';
import { type Journal, memoryJournal } from './journal.ts';
import { Member, namesOf, type NamedStore, tooFew } from './member.ts';
import { Membership } from './membership.ts';
import { type IdentifyContent, Mirror } from './mirror.ts';
import { getObject, statObject } from './read.ts';
import { askAll, type MirrorStatus, statusOf, type StatusOptions } from './status.ts';
import { synchronize, type SyncOptions, type SyncReport } from './synchronize.ts';
import { listUnion } from './union-list.ts';
import { gathered, vote } from './vote.ts';
import { within } from './waiting.ts';
import { assertWriteRule, type WriteRule } from './write-rule.ts';

/** What a mirrored store is made of. */
export interface MirrorOptions {
  /** In the order of the config file. Each tries transient faults again by itself. */
  readonly stores: readonly NamedStore[];
  readonly rule: WriteRule;
  /** Default: one in memory, which forgets with the process. */
  readonly journal?: Journal | undefined;
  /** Names of stores that are left out. They are not asked; the write rule counts them as if they did not answer. */
  readonly without?: readonly string[] | undefined;
  /** An object counts as absent, and a list as whole, only if every store that is not left out has said so. Default false. */
  readonly strict?: boolean | undefined;
  /** Proves an object read from one store; what is copied is checked with it, and only what fails it is ever replaced. */
  readonly check: CheckObject;
  /** Recognises equal content in objects of other bytes. Default: every object goes by its bytes. */
  readonly identify?: IdentifyContent | undefined;
  readonly onEvent?: OnMirrorEvent | undefined;
  /** How long `close` goes on with what is behind, milliseconds. Default 1 s. */
  readonly drainMs?: number | undefined;
}

/** One store of several, and what is behind it. */
export interface MirroredStore extends Store {
  readonly members: readonly NamedStore[];
  readonly rule: WriteRule;
  /** Compares what the stores hold. */
  status(options?: StatusOptions): Promise<MirrorStatus>;
  /** Brings every store up to what the others hold, verified. Interrupted, it can be run again. */
  sync(options?: SyncOptions): Promise<SyncReport>;
  /** Why stores cannot be used now, one entry for each. */
  outside(
    options?: Abortable,
  ): Promise<{ readonly store: string; readonly message: string; readonly hint: string | undefined }[]>;
  /** Does what the journal says, for the stores that can be reached. */
  catchUp(options?: SyncOptions): Promise<CatchUpReport>;
  /** Makes an empty store part of the repository. @throws {KeyframeError} INVALID_OPTION, CONFLICT, REPOSITORY_MISSING */
  addStore(name: string, options?: SyncOptions): Promise<void>;
}

const DRAIN_MS = 1_000;

/** Joins stores. No I/O. @throws {KeyframeError} INVALID_OPTION for a write rule that fences nobody */
export function mirroredStore(options: MirrorOptions): MirroredStore {
  const { stores, rule, check, without = [], drainMs = DRAIN_MS } = options;
  assertWriteRule(
    rule,
    stores.map(({ name }) => name),
  );
  const members: Member[] = [];
  const membership = new Membership(members, rule);
  for (const named of stores)
    members.push(new Member(named, without.includes(named.name), (member) => membership.admit(member)));
  const mirror = new Mirror({
    members,
    rule,
    membership,
    journal: options.journal ?? memoryJournal(),
    onEvent: options.onEvent ?? (() => undefined),
    strict: options.strict ?? false,
    identify: options.identify ?? (async () => undefined),
  });
  const catchUp = new CatchUp(mirror, check);
  mirror.onLag = () => catchUp.start();
  let closed: Promise<void> | undefined;
  return {
    capabilities: commonCapabilities(mirror),
    copies: copiesOf(mirror, catchUp),
    ...retentionOf(stores),
    members: stores,
    rule,
    put: (key, source, how) => put(mirror, catchUp, { key, source, how: how ?? {} }),
    get: async (key, how = {}) => {
      await ready(mirror, key, how.signal);
      if (key === IDENTITY_KEY && (await mirror.membership.id()) === undefined)
        throw new KeyframeError('NOT_FOUND', `object '${key}' is on no store`, { details: { key } });
      return getObject(mirror, key, how);
    },
    stat: async (key, { signal } = {}) => {
      await ready(mirror, key, signal);
      return statObject(mirror, key, signal);
    },
    list: (prefix, { signal } = {}) => list(mirror, prefix, signal),
    delete: (keys, { signal } = {}) => remove(mirror, keys, signal),
    status: (how) => statusOf(mirror, check, how),
    sync: (how) => synchronize(mirror, { catchUp, check }, how),
    catchUp: (how) => catchUp.run(how?.signal),
    outside: async () =>
      [...(await askAll(mirror))].map(([{ name }, { message, hint }]) => ({ store: name, message, hint })),
    addStore: (name, { signal } = {}) => addStore(mirror, name, signal),
    close: () =>
      (closed ??= (async () => {
        await within(drainMs, catchUp.idle());
        catchUp.stop();
        for (const member of mirror.fallen)
          if (member.behind) mirror.onEvent({ kind: 'left-behind', store: member.name });
        await Promise.all(stores.map(async ({ store }) => store.close?.()));
      })()),
  };
}

interface PutRequest {
  readonly key: string;
  readonly source: ByteSource;
  readonly how: PutOptions;
}

async function put(mirror: Mirror, catchUp: CatchUp, { key, source, how }: PutRequest): Promise<ObjectInfo> {
  const { signal } = how;
  assertObjectKey(key);
  signal?.throwIfAborted();
  if (how.ifMatch !== undefined)
    throw new KeyframeError('UNSUPPORTED', `object '${key}': several stores have no conditional replace`);
  if (key === IDENTITY_KEY) return writeIdentity(mirror, source, signal);
  await mirror.ready();
  catchUp.resume();
  const known = await gathered(source, signal);
  if (how.ifAbsent === true) return createObject(mirror, { key, source: known }, signal);
  const ballot = await vote(mirror.asked, { key, source: known, options: how }, (created) => mirror.isDurable(created));
  const [info] = ballot.created.values();
  if (info === undefined || !mirror.isDurable(ballot.created.keys())) {
    signal?.throwIfAborted();
    throw refusal(mirror, ballot);
  }
  mirror.pin(key, [...ballot.created.keys()]);
  const rest = mirror.members.filter((member) => !ballot.created.has(member));
  await mirror.owe(rest, 'replace', [key]);
  return { key, sizeBytes: info.sizeBytes, modifiedAt: info.modifiedAt };
}

async function* list(mirror: Mirror, prefix: string, signal: AbortSignal | undefined): AsyncGenerator<ObjectInfo> {
  signal?.throwIfAborted();
  if ((await mirror.membership.id()) === undefined) {
    // Before the repository is created: whatever lies there already is somebody's.
    for (const { store } of mirror.asked) yield* store.list(prefix, { signal });
    return;
  }
  await mirror.ready();
  yield* listUnion(mirror, prefix, signal);
}

async function remove(mirror: Mirror, keys: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  for (const key of keys) assertObjectKey(key);
  signal?.throwIfAborted();
  if (keys.length === 0) return;
  await mirror.ready();
  const removed = new Set<Member>();
  const faults = new Map<Member, unknown>();
  // A store that did not take an earlier removal must not take a later one before: what counts would stay without what it counts on.
  const current = mirror.asked.filter(({ behind }) => !behind);
  const all = Promise.all(
    (mirror.isDurable(current) ? current : mirror.asked).map(async (member) => {
      try {
        await member.use((store) => store.delete(keys, { signal }));
        removed.add(member);
      } catch (error) {
        faults.set(member, error);
      }
    }),
  );
  while (!(await within(DRAIN_MS, all)) && !mirror.isDurable(removed)) signal?.throwIfAborted();
  signal?.throwIfAborted();
  if (!mirror.isDurable(removed)) {
    const [first] = faults.values();
    if (removed.size === 0 && faults.size > 0) throw first;
    throw tooFew(`only ${namesOf(removed).join(', ')} removed the objects`, faults);
  }
  mirror.unpin(keys);
  await mirror.owe(
    mirror.members.filter((member) => !removed.has(member)),
    'delete',
    keys,
  );
}

async function ready(mirror: Mirror, key: string, signal: AbortSignal | undefined): Promise<void> {
  assertObjectKey(key);
  signal?.throwIfAborted();
  await mirror.ready();
}

/** Locks of the stores that have them. An object is locked while one of them locks it. */
function retentionOf(stores: readonly NamedStore[]): Pick<Store, 'retention'> {
  const facets = stores.flatMap(({ store }) => store.retention ?? []);
  if (facets.length === 0) return {};
  return {
    retention: {
      enabled: async (options) => (await Promise.all(facets.map((each) => each.enabled(options)))).every(Boolean),
      until: async (key, options) => {
        const ends = await Promise.all(facets.map((each) => each.until(key, options).catch(ignoring('NOT_FOUND'))));
        const last = Math.max(...ends.map((end) => end?.getTime() ?? 0));
        return last === 0 ? undefined : new Date(last);
      },
      extend: async (key, until, options) => {
        await Promise.all(facets.map((each) => each.extend(key, until, options).catch(ignoring('NOT_FOUND'))));
      },
    },
  };
}

function copiesOf(mirror: Mirror, catchUp: CatchUp): NonNullable<Store['copies']> {
  const views = new WeakMap<Store, Member>();
  return {
    of: (key) =>
      mirror.readable(key).flatMap((member) => {
        const view = viewOf(member);
        views.set(view, member);
        // Beyond what it shows first, a store may keep older versions.
        const older = member.store.copies?.of(key).slice(1) ?? [];
        return [view].concat(older);
      }),
    distrust: (key, view) => {
      const member = views.get(view);
      if (member === undefined) return;
      mirror.distrust(key, member);
      mirror.onEvent({ kind: 'damage', key, store: member.name });
      catchUp.expect(mirror.owe([member], 'repair', [key]));
    },
  };
}

/** One store alone, held to what the mirror holds it to. */
function viewOf(member: Member): Store {
  const { store } = member;
  return {
    capabilities: store.capabilities,
    get: (key, options) => member.use((each) => each.get(key, options)),
    stat: (key, options) => member.use((each) => each.stat(key, options)),
    list: (prefix, options) => store.list(prefix, options),
    put: (key, source, options) => member.use((each) => each.put(key, source, options)),
    delete: (keys, options) => member.use((each) => each.delete(keys, options)),
  };
}

/** What every store can do. */
function commonCapabilities({ members }: Mirror): StoreCapabilities {
  const all = members.map(({ store }) => store.capabilities);
  const every = (has: (capabilities: StoreCapabilities) => boolean | undefined): boolean =>
    all.every((each) => has(each) === true);
  const limits = all.flatMap(({ maxObjectBytes }) => maxObjectBytes ?? []);
  return {
    conditionalPut: every((each) => each.conditionalPut),
    conditionalReplace: false,
    rangeRead: every((each) => each.rangeRead),
    strongConsistency: every((each) => each.strongConsistency),
    ...(limits.length === 0 ? {} : { maxObjectBytes: Math.min(...limits) }),
  };
}
