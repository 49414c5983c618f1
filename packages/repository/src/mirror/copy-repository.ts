/**
 * Brings a repository, a cluster or one backup with its WAL to another place, object by object as they are: a copy has the
 * same id and the same keys. Run again it goes on where it was, and later brings over what is new.
 * @packageDocumentation
 */
import { type Abortable, hasCode, KeyframeError, parseWalFileName, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { readIdentity } from '../identity.ts';
import { archivePrefix, epochPrefix, IDENTITY_KEY } from '../keys.ts';
import { readSealed } from '../objects/with-copies.ts';
import { type CheckObject, copyVerified } from './copy-object.ts';
import { Lookup } from './lookup.ts';

/** Keys and signers lie beside the clusters, and a part of a repository needs them, too. */
const EVERYTHING = '';
/** Objects copied at once. */
const AT_ONCE = 4;

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
}

/** What was done. */
export interface CopyReport {
  readonly repositoryId: string;
  readonly copied: number;
  readonly copiedBytes: number;
  /** Were there already, of the same size. */
  readonly present: number;
  /** Damaged at the target, and replaced. */
  readonly repaired: number;
  /** Kinds of objects that cannot prove themselves: copied as they are. */
  readonly unproven: number;
  /** The target has another object under that name; it was left as it is. */
  readonly conflicts: readonly string[];
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
/** Of one process or one host; a copy of them would only mislead. */
const NOT_COPIED = /^(?:leases|doctor)\/|^keyframe\.json$/u;

/**
 * Copies what `scope` names. Only reads the source.
 * @throws {KeyframeError} CONFLICT when the target holds another repository, REPOSITORY_MISSING, CORRUPT
 */
export async function copyRepository(
  { from, to, check }: CopyContext,
  scope: CopyScope,
  { signal, onProgress }: CopyOptions = {},
): Promise<CopyReport> {
  const { id } = await readIdentity(from, signal);
  await claimTarget({ from, to, check }, id, signal);
  const count = { copied: 0, copiedBytes: 0, present: 0, repaired: 0, unproven: 0 };
  const conflicts: string[] = [];
  // Of what is published from now on, objects may come where the listing has been already.
  const published = await publicationsIn(from, signal);
  let objects = 0;
  for (const [number, isOf] of PHASES.entries()) {
    const earlier = PHASES.slice(0, number);
    const wanted = (key: string): boolean =>
      !NOT_COPIED.test(key) &&
      isOf(key) &&
      (!isPublication(key) || published.has(key)) &&
      !earlier.some((phase) => phase(key)) &&
      isInScope(key, scope);
    const there = new Lookup(to, EVERYTHING, signal);
    const listing = from.list(EVERYTHING, { signal })[Symbol.asyncIterator]();
    const next = serialized(listing, there, wanted);
    const stop = new AbortController();
    const own = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
    const worker = async (): Promise<void> => {
      for (let item = await next(); item !== undefined; item = await next()) {
        const { key, sizeBytes, foundBytes } = item;
        const outcome = await copyOne({ from, to, check }, { key, sizeBytes, foundBytes }, own);
        if (outcome === 'conflict') conflicts.push(key);
        else count[outcome] += 1;
        if (outcome === 'copied' || outcome === 'unproven') count.copiedBytes += sizeBytes;
        onProgress?.({ objects: (objects += 1), bytes: count.copiedBytes, key });
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
    } catch (error) {
      stop.abort(error); // the other workers need not go on
      throw error;
    } finally {
      await listing.return?.();
      await there.close();
    }
    // A backup must not count where something it needs is another object.
    if (conflicts.length > 0) break;
  }
  return { repositoryId: id, ...count, conflicts };
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

async function copyOne(context: CopyContext, item: Item, signal: AbortSignal | undefined): Promise<CopyOutcome> {
  const { to, check } = context;
  const { key, sizeBytes, foundBytes } = item;
  if (foundBytes === sizeBytes) return 'present';
  try {
    return (await fromAnyCopy(context, key, false, signal)) === 'verified' ? 'copied' : 'unproven';
  } catch (error) {
    if (!hasCode(error, 'ALREADY_EXISTS')) throw error;
  }
  const info = await to.stat(key, { signal });
  if (info?.sizeBytes === sizeBytes) return 'present';
  try {
    await check(to, key, { signal });
    return 'conflict';
  } catch (error) {
    if (hasCode(error, 'INVALID_OPTION')) return 'conflict';
    if (!hasCode(error, 'CORRUPT')) throw error;
  }
  await fromAnyCopy(context, key, true, signal);
  return 'repaired';
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
  try {
    const found = await readIdentity(to, signal);
    if (found.id === id) return;
    throw new KeyframeError('CONFLICT', `the target holds repository ${found.id}, the source is ${id}`, {
      hint: 'Copy into an empty place: a copy keeps the id of its source, so that what is in it stays what it was.',
      details: { expected: id, found: found.id },
    });
  } catch (error) {
    if (!hasCode(error, 'REPOSITORY_MISSING')) throw error;
  }
  for await (const { key } of to.list('', { signal }))
    throw new KeyframeError('CONFLICT', `the target is no repository and not empty: it holds ${key}`, {
      hint: 'Check that the right place is named and mounted, or name an empty one.',
      details: { key },
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
  if (!key.startsWith(`${prefix}wal/`)) return false;
  const name = key.slice(key.lastIndexOf('/') + 1);
  return parseWalFileName(name) !== undefined && backup.needs(name);
}
