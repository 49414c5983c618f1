/**
 * Brings a repository, a cluster or one backup with its WAL to another place, object by object as they are: a copy has the
 * same id and the same keys. Into a repository with another id and other keys `translate/` brings it. Run again it goes on where it was, and later brings over what is new.
 * @packageDocumentation
 */
import { type Abortable, hasCode, KeyframeError, parseWalFileName, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { readIdentity } from '../identity.ts';
import { archivePrefix, epochPrefix, IDENTITY_KEY } from '../keys.ts';
import { partOfKey } from '../wal/part-name.ts';
import { readSealed } from '../objects/with-copies.ts';
import { decodeFooter, FOOTER_BYTES } from '../format/container-tail.ts';
import { ByteCursor } from '../objects/byte-cursor.ts';
import { readRange } from '../objects/read-range.ts';
import { Slots } from '../objects/slots.ts';
import { type CheckObject, copyVerified } from './copy-object.ts';
import { Lookup } from './lookup.ts';

/** Keys and signers lie beside the clusters, and a part of a repository needs them, too. */
const EVERYTHING = '';
/** Objects looked at, and objects copied, at once. */
const AT_ONCE = { compared: 16, copied: 4 } as const;

/** What is copied. Default: everything. */
export interface CopyScope {
  readonly cluster?: string | undefined;
  /** One backup, with these packs of other backups and this WAL. */
  readonly backup?:
    | {
        readonly epoch: number;
        readonly label: string;
        readonly packs: ReadonlySet<string>;
        readonly needs: (wal: string) => boolean;
      }
    | undefined;
}

/** From where to where, and by what an object is proven. */
export interface CopyContext {
  readonly from: Store;
  readonly to: Store;
  readonly check: CheckObject;
  /** What an object is known by whatever its stored bytes are: WAL files. Default: every object goes by its bytes. */
  readonly identify?: ((store: Store, key: string, options: Abortable) => Promise<string | undefined>) | undefined;
}

/** What a copy is going to bring. */
export interface CopyPlan {
  /** Objects that the target lacks, or has in another size. */
  readonly objects: number;
  readonly bytes: number;
}

/** What was done. */
export interface CopyReport {
  readonly repositoryId: string;
  readonly copied: number;
  readonly copiedBytes: number;
  /** Were there already: proven to be the same by what both say of their own bytes. */
  readonly present: number;
  /** Damaged at the target, and replaced. */
  readonly repaired: number;
  /** Kinds of objects that cannot prove themselves: copied as they are. */
  readonly unproven: number;
}

/** How the copy is made. */
export interface CopyOptions extends Abortable {
  readonly onProgress?:
    | ((done: { readonly objects: number; readonly bytes: number; readonly key: string }) => void)
    | undefined;
}

const isPublication = (key: string): boolean => key.endsWith('/backup.json');

/** Objects in the order in which they may be seen: what makes a backup count comes when all it counts on is there. */
const PHASES: readonly ((key: string) => boolean)[] = [
  (key) => !key.startsWith('clusters/') || key.includes('/epochs/'),
  (key) => /\/wal\/[^/]+\.history$/u.test(key),
  (key) => key.includes('/wal/'),
  (key) => !isPublication(key),
  () => true,
];
/** The end of a sealed JSON object. */
const SEAL = /\n {2}"sha256": "[0-9a-f]{64}"\n\}\n$/u;
/** Of one process or one host, or found wrong with these very bytes; a copy of them would only mislead. */
const NOT_COPIED = /^(?:leases|doctor)\/|^keyframe\.json$|^clusters\/[^/]+\/damage\//u;

/**
 * Whether the target is to be a copy of the source, with its id and its keys: it is one, or it is empty. Else it is a
 * repository with another id, and copying means encrypting anew.
 * @throws {KeyframeError} REPOSITORY_MISSING: there is no source; CONFLICT when the target is no repository and not empty
 */
export async function isSameRepository(from: Store, to: Store, signal: AbortSignal | undefined): Promise<boolean> {
  return (await lookAt(from, to, signal)) !== 'another';
}

async function lookAt(from: Store, to: Store, signal: AbortSignal | undefined): Promise<'same' | 'empty' | 'another'> {
  const { id } = await readIdentity(from, signal);
  try {
    return (await readIdentity(to, signal)).id === id ? 'same' : 'another';
  } catch (error) {
    if (!hasCode(error, 'REPOSITORY_MISSING')) throw error;
  }
  for await (const { key } of to.list('', { signal }))
    throw new KeyframeError('CONFLICT', `the target is no repository and not empty: it holds ${key}`, {
      hint: 'Check that the right place is named and mounted, or name an empty one.',
      details: { key },
    });
  return 'empty';
}

/** Tells what {@link copyRepository} would bring. Only reads. */
export async function planCopy(
  { from, to }: Pick<CopyContext, 'from' | 'to'>,
  scope: CopyScope,
  { signal }: Abortable = {},
): Promise<CopyPlan> {
  const there = new Lookup(to, EVERYTHING, signal);
  let [objects, bytes] = [0, 0];
  try {
    for await (const { key, sizeBytes } of from.list(EVERYTHING, { signal })) {
      if (NOT_COPIED.test(key) || !isInScope(key, scope) || (await there.sizeOf(key)) === sizeBytes) continue;
      objects += 1;
      bytes += sizeBytes;
    }
  } finally {
    await there.close();
  }
  return { objects, bytes };
}

/**
 * Copies what `scope` names. Only reads the source.
 * @throws {KeyframeError} CONFLICT when the target holds another repository, or other objects under some names: those are
 * left as they are, and told when the others of their kind are there; REPOSITORY_MISSING, CORRUPT
 */
export async function copyRepository(
  context: CopyContext,
  scope: CopyScope,
  options: CopyOptions = {},
): Promise<CopyReport> {
  const { from } = context;
  const { signal } = options;
  const { id } = await readIdentity(from, signal);
  await claimTarget(context, id, signal);
  const run = new CopyRun(context, options);
  // Of what is published from now on, objects may come where the listing has been already.
  const published = await publicationsIn(from, signal);
  for (const [number, isOf] of PHASES.entries()) {
    const earlier = PHASES.slice(0, number);
    const wanted = (key: string): boolean =>
      !NOT_COPIED.test(key) &&
      isOf(key) &&
      (!isPublication(key) || published.has(key)) &&
      !earlier.some((phase) => phase(key)) &&
      isInScope(key, scope);
    await run.phase(wanted);
    // A backup must not count where something it needs is another object.
    if (run.conflicts.length > 0) throw otherObjects(run.conflicts);
  }
  return { repositoryId: id, ...run.count };
}

/** One copy on its way. */
class CopyRun {
  readonly count = { copied: 0, copiedBytes: 0, present: 0, repaired: 0, unproven: 0 };
  readonly conflicts: string[] = [];
  readonly #context: CopyContext;
  readonly #options: CopyOptions;
  readonly #slots = new Slots(AT_ONCE.copied);
  #objects = 0;

  constructor(context: CopyContext, options: CopyOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Brings all objects of one kind. */
  async phase(wanted: (key: string) => boolean): Promise<void> {
    const { from, to } = this.#context;
    const { signal } = this.#options;
    const there = new Lookup(to, EVERYTHING, signal);
    const listing = from.list(EVERYTHING, { signal })[Symbol.asyncIterator]();
    const next = serialized(listing, there, wanted);
    const stop = new AbortController();
    const own = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
    const worker = async (): Promise<void> => {
      for (let item = await next(); item !== undefined; item = await next()) await this.#bring(item, own);
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE.compared }, worker));
    } catch (error) {
      stop.abort(error); // the other workers need not go on
      throw error;
    } finally {
      await listing.return?.();
      await there.close();
    }
  }

  async #bring({ key, sizeBytes, foundBytes }: Item, signal: AbortSignal): Promise<void> {
    const { count } = this;
    const context = this.#context;
    let outcome: CopyOutcome;
    if (foundBytes === sizeBytes && (await saysTheSame(context, key, sizeBytes, signal))) outcome = 'present';
    else {
      await this.#slots.take();
      try {
        signal.throwIfAborted();
        outcome = await copyOne(context, { key, isThere: foundBytes !== undefined }, signal);
      } finally {
        this.#slots.give();
      }
    }
    if (outcome === 'conflict') this.conflicts.push(key);
    else count[outcome] += 1;
    if (outcome === 'copied' || outcome === 'unproven') count.copiedBytes += sizeBytes;
    this.#options.onProgress?.({ objects: (this.#objects += 1), bytes: count.copiedBytes, key });
  }
}

async function publicationsIn(from: Store, signal: AbortSignal | undefined): Promise<ReadonlySet<string>> {
  const keys = new Set<string>();
  for await (const { key } of from.list('clusters/', { signal })) if (isPublication(key)) keys.add(key);
  return keys;
}

interface Item {
  readonly key: string;
  readonly sizeBytes: number;
  readonly foundBytes: number | undefined;
}

/** One key after the other, with what the target has of it. */
function serialized(
  listing: AsyncIterator<{ readonly key: string; readonly sizeBytes: number }>,
  there: Lookup,
  wanted: (key: string) => boolean,
): () => Promise<Item | undefined> {
  let turn: Promise<unknown> = Promise.resolve();
  const step = async (): Promise<Item | undefined> => {
    for (;;) {
      const { done, value } = await listing.next();
      if (done === true) return undefined;
      if (!wanted(value.key)) continue;
      return { key: value.key, sizeBytes: value.sizeBytes, foundBytes: await there.sizeOf(value.key) };
    }
  };
  return () => {
    const result = turn.then(step);
    turn = result.catch(() => undefined);
    return result;
  };
}

type CopyOutcome = 'copied' | 'present' | 'repaired' | 'unproven' | 'conflict';

async function copyOne(
  context: CopyContext,
  { key, isThere }: { readonly key: string; readonly isThere: boolean },
  signal: AbortSignal | undefined,
): Promise<CopyOutcome> {
  try {
    if (!isThere) return (await fromAnyCopy(context, key, false, signal)) === 'verified' ? 'copied' : 'unproven';
  } catch (error) {
    // Whoever stored the whole segment since the listing has removed its parts.
    if (hasCode(error, 'NOT_FOUND') && partOfKey(key) !== undefined) return 'present';
    if (!hasCode(error, 'ALREADY_EXISTS')) throw error;
  }
  return judge(context, key, signal);
}

/** What is there under that name: the same, damage that is replaced, or another object. */
async function judge(context: CopyContext, key: string, signal: AbortSignal | undefined): Promise<CopyOutcome> {
  const { from, to, check, identify } = context;
  const [source, found] = await Promise.all([from.stat(key, { signal }), to.stat(key, { signal })]);
  if (source?.sizeBytes === found?.sizeBytes && (await saysTheSame(context, key, source?.sizeBytes ?? 0, signal)))
    return 'present';
  try {
    await check(to, key, { signal });
  } catch (error) {
    if (hasCode(error, 'INVALID_OPTION')) return 'conflict';
    if (!hasCode(error, 'CORRUPT')) throw error;
    await fromAnyCopy(context, key, true, signal);
    return 'repaired';
  }
  // Both are whole: a source that is not says so itself.
  await check(from, key, { signal });
  const known = await identify?.(to, key, { signal });
  return known !== undefined && known === (await identify?.(from, key, { signal })) ? 'present' : 'conflict';
}

/**
 * Whether two objects of one size are the same by what each says at its end of all its bytes: the hashes of a footer, the
 * seal of a JSON object. What says nothing of itself is compared whole.
 */
async function saysTheSame(
  { from, to }: CopyContext,
  key: string,
  sizeBytes: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const start = Math.max(0, sizeBytes - FOOTER_BYTES);
  const [one, other] = await Promise.all([
    readRange(from, key, start, sizeBytes, signal),
    readRange(to, key, start, sizeBytes, signal),
  ]);
  if (!one.equals(other)) return false;
  if (SEAL.test(one.toString('latin1')) || isFooter(one, sizeBytes, key)) return true;
  const theirs = new ByteCursor(await to.get(key, { signal }), key);
  try {
    for await (const ours of await from.get(key, { signal }))
      if (Buffer.compare(ours, await theirs.upTo(ours.length)) !== 0) return false;
    return (await theirs.upTo(1)).length === 0;
  } finally {
    await theirs.close();
  }
}

function isFooter(end: Buffer, sizeBytes: number, key: string): boolean {
  try {
    decodeFooter(end, sizeBytes, key);
    return true;
  } catch (error) {
    if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
    return false;
  }
}

function otherObjects(keys: readonly string[]): KeyframeError {
  return new KeyframeError('CONFLICT', `the target has other objects under ${keys.length} names, ${keys[0]} first`, {
    hint: 'Run `keyframe verify --repository` on both; what belongs to neither move away by the means of the store, then copy again.',
    details: { count: keys.length, keys: keys.slice(0, 20).join(', ') },
  });
}

/** Where the source has several copies and the nearest is damaged, another one is taken. */
async function fromAnyCopy(
  { from, to, check }: CopyContext,
  key: string,
  replace: boolean,
  signal: AbortSignal | undefined,
): Promise<'verified' | 'plain'> {
  let damage: unknown;
  for (const source of [from, ...(from.copies?.of(key) ?? [])]) {
    try {
      return await copyVerified(source, to, key, { check, replace, signal });
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'NOT_FOUND', 'UNAVAILABLE') || from.copies === undefined) throw error;
      damage ??= error;
    }
  }
  throw damage;
}

/** The target is empty or a copy of the same repository. */
async function claimTarget({ from, to }: CopyContext, id: string, signal: AbortSignal | undefined): Promise<void> {
  const found = await lookAt(from, to, signal);
  if (found === 'same') return;
  if (found === 'another')
    throw new KeyframeError('CONFLICT', 'the target holds another repository than the source', {
      hint: 'Copy into an empty place, or into a repository that `keyframe repository create` made.',
      details: { expected: id },
    });
  const identity = await readSealed(from, IDENTITY_KEY, signal);
  await to.put(IDENTITY_KEY, bytesOf(identity), {
    signal,
    ...(to.capabilities.conditionalPut === true && { ifAbsent: true }),
  });
}

function isInScope(key: string, { cluster, backup }: CopyScope): boolean {
  if (cluster === undefined || !key.startsWith('clusters/')) return true;
  if (!key.startsWith(`clusters/${cluster}/`)) return false;
  if (backup === undefined || key.startsWith(epochPrefix(cluster))) return true;
  const prefix = archivePrefix(cluster, backup.epoch);
  if (backup.packs.has(key) || key.startsWith(`${prefix}backups/${backup.label}/`)) return true;
  // Whoever signs, signs the chain: it proves this backup and its WAL, and names what is not here.
  if (key.startsWith(`${prefix}chain/`)) return true;
  if (!key.startsWith(`${prefix}wal/`)) return false;
  const name = key.slice(key.lastIndexOf('/') + 1);
  return parseWalFileName(name) !== undefined && backup.needs(name);
}
