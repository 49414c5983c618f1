/** What each store of a repository lacks, by listing them all. @packageDocumentation */
import { type Abortable, hasCode, type KeyframeError, type ObjectInfo } from '@keyframe/contracts';
import type { CheckObject } from './copy-object.ts';
import { faultOf, type Member, namesOf } from './member.ts';
import type { Mirror } from './mirror.ts';
import { listCopies } from './union-list.ts';

/** How the look is taken. */
export interface StatusOptions extends Abortable {
  readonly onProgress?: ((objects: number) => void) | undefined;
}

/** Why a store is not used. */
export type Outside = 'empty' | 'foreign' | 'unreachable';

/** One store as it is now. */
export interface StoreStatus {
  readonly name: string;
  readonly lead: boolean;
  /**
   * `ok`: it has everything. `behind`: it lacks objects. `conflict`: it holds another object under a name than other stores.
   * `empty`: it holds no repository, as a file system that is not mounted. `foreign`: it holds another one.
   * `unreachable`: it did not answer. `left-out`: nobody asked it.
   */
  readonly health: 'ok' | 'behind' | 'conflict' | Outside | 'left-out';
  readonly objects: number;
  readonly bytes: number;
  /** What other stores have and this one lacks. */
  readonly missingObjects: number;
  readonly missingBytes: number;
  /** Entries of this host's journal for it. */
  readonly journalled: number;
  readonly latencyMs: number | undefined;
  readonly fault: { readonly code: string; readonly message: string; readonly hint: string | undefined } | undefined;
}

/** All stores of a repository, compared. */
export interface MirrorStatus {
  readonly repositoryId: string | undefined;
  readonly quorum: number;
  readonly lead: string | undefined;
  /** Whether a write would be acknowledged now. */
  readonly writable: boolean;
  readonly objects: number;
  readonly stores: readonly StoreStatus[];
  /** Names under which stores hold different objects; at most {@link CONFLICTS_SHOWN}. */
  readonly conflicts: readonly { readonly key: string; readonly stores: readonly string[] }[];
}

/** Conflicts that a status names. */
const CONFLICTS_SHOWN = 100;
const LEASE = /^(?:leases|doctor)\//u;

/** One key that is not alike everywhere. */
export interface Difference {
  readonly key: string;
  readonly copies: ReadonlyMap<Member, ObjectInfo>;
  readonly lacking: readonly Member[];
  readonly sizesDiffer: boolean;
}

interface Count {
  objects: number;
  bytes: number;
  missingObjects: number;
  missingBytes: number;
}

/** Compares the stores that answer; `onDifference` gets every key that is not alike on all of them, in no promised order. */
export async function compareStores(
  mirror: Mirror,
  onDifference: (difference: Difference) => void | Promise<void>,
  { signal, onProgress }: StatusOptions = {},
): Promise<{ readonly counts: ReadonlyMap<Member, Count>; readonly objects: number }> {
  const answering = mirror.asked.filter(({ fault }) => fault === undefined);
  const counts = new Map<Member, Count>();
  for (const member of mirror.members) counts.set(member, { objects: 0, bytes: 0, missingObjects: 0, missingBytes: 0 });
  const partial = new Map<string, Map<Member, ObjectInfo>>();
  let objects = 0;
  const take = (copies: ReadonlyMap<Member, ObjectInfo>): void => {
    for (const [member, { sizeBytes }] of copies) {
      const count = counts.get(member);
      if (count !== undefined) {
        count.objects += 1;
        count.bytes += sizeBytes;
      }
    }
  };
  const conclude = async (key: string, copies: ReadonlyMap<Member, ObjectInfo>): Promise<void> => {
    objects += 1;
    if (objects % 1000 === 0) onProgress?.(objects);
    const lacking = answering.filter((member) => !copies.has(member));
    const sizes = new Set([...copies.values()].map(({ sizeBytes }) => sizeBytes));
    if (lacking.length === 0 && sizes.size === 1) return;
    const [size = 0] = sizes;
    for (const member of lacking) {
      const count = counts.get(member);
      if (count === undefined) continue;
      count.missingObjects += 1;
      count.missingBytes += size;
    }
    await onDifference({ key, copies, lacking, sizesDiffer: sizes.size > 1 });
  };
  for await (const { key, copies } of listCopies(mirror, '', signal, () => true)) {
    if (LEASE.test(key)) continue;
    take(copies);
    const known = partial.get(key);
    const whole = known === undefined ? copies : new Map([...known, ...copies]);
    if (whole.size >= answering.length) {
      partial.delete(key);
      await conclude(key, whole);
    } else partial.set(key, new Map(whole));
  }
  for (const [key, copies] of partial) await conclude(key, copies);
  onProgress?.(objects);
  return { counts, objects };
}

/** Asks every store who it is, then compares what they hold. Reads no content but where sizes differ. */
export async function statusOf(mirror: Mirror, check: CheckObject, options: StatusOptions = {}): Promise<MirrorStatus> {
  await mirror.ready();
  const faults = await askAll(mirror);
  const conflicts: { key: string; stores: string[] }[] = [];
  const damaged = new Set<Member>();
  const { counts, objects } = await compareStores(
    mirror,
    async ({ key, copies, sizesDiffer }) => {
      if (!sizesDiffer) return;
      const { bad, twins } = await judge(mirror, check, { key, copies, signal: options.signal });
      for (const member of bad) damaged.add(member);
      if (twins && conflicts.length < CONFLICTS_SHOWN) conflicts.push({ key, stores: namesOf(copies.keys()) });
    },
    options,
  );
  const stores: StoreStatus[] = [];
  for (const member of mirror.members) {
    const count = counts.get(member) ?? { objects: 0, bytes: 0, missingObjects: 0, missingBytes: 0 };
    const fault = faults.get(member);
    const twin = conflicts.some((each) => each.stores.includes(member.name));
    stores.push({
      name: member.name,
      lead: member === mirror.lead,
      health: healthOf(member, fault, count.missingObjects > 0 || damaged.has(member), twin),
      objects: count.objects,
      bytes: count.bytes,
      missingObjects: count.missingObjects,
      missingBytes: count.missingBytes,
      journalled: await mirror.journal.count(member.name),
      latencyMs: member.latencyMs === 0 ? undefined : Math.round(member.latencyMs * 100) / 100,
      fault: fault === undefined ? undefined : { code: fault.code, message: fault.message, hint: fault.hint },
    });
  }
  const reached = mirror.asked.filter((member) => !faults.has(member));
  const { quorum, lead } = mirror.rule;
  const repositoryId = reached.length === 0 ? undefined : await mirror.membership.id();
  return { repositoryId, quorum, lead, writable: mirror.isDurable(reached), objects, stores, conflicts };
}

/** What keeps each store from being used now. */
export async function askAll(mirror: Mirror): Promise<Map<Member, KeyframeError>> {
  const faults = new Map<Member, KeyframeError>();
  await Promise.all(
    mirror.asked.map(async (member) => {
      try {
        await mirror.membership.confirm(member);
        member.forgive();
      } catch (error) {
        member.note(error);
        faults.set(member, faultOf(error));
      }
    }),
  );
  return faults;
}

/** A damaged copy is no twin: different objects that prove themselves, and have not the same content, are. */
async function judge(
  mirror: Mirror,
  check: CheckObject,
  { key, copies, signal }: Pick<Difference, 'key' | 'copies'> & { readonly signal: AbortSignal | undefined },
): Promise<{ readonly bad: readonly Member[]; readonly twins: boolean }> {
  const contents = new Set<string>();
  const bad: Member[] = [];
  for (const member of copies.keys()) {
    try {
      await member.use((store) => check(store, key, { signal }));
      contents.add(await mirror.contentOf(member, key, signal));
    } catch (error) {
      signal?.throwIfAborted();
      if (hasCode(error, 'CORRUPT')) bad.push(member);
      else if (hasCode(error, 'INVALID_OPTION')) contents.add(await mirror.contentOf(member, key, signal));
    }
  }
  return { bad, twins: contents.size > 1 };
}

/** The one word for it, wherever it is told. */
export function outsideOf({ code }: KeyframeError): Outside {
  if (code === 'REPOSITORY_MISSING') return 'empty';
  return code === 'CONFLICT' ? 'foreign' : 'unreachable';
}

function healthOf(
  member: Member,
  fault: KeyframeError | undefined,
  lacks: boolean,
  twin: boolean,
): StoreStatus['health'] {
  if (member.excluded) return 'left-out';
  if (fault !== undefined) return outsideOf(fault);
  if (twin) return 'conflict';
  return lacks || member.behind ? 'behind' : 'ok';
}
