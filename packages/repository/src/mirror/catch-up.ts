/** Does what is behind: copies, replacements, repairs and removals that did not reach a store in time. @packageDocumentation */
import { hasCode, isKeyframeError } from '@keyframe/contracts';
import { type CheckObject, copyVerified } from './copy-object.ts';
import type { JournalEntry } from './journal.ts';
import { byNearness, type Member, namesOf } from './member.ts';
import { digestOf, type Mirror } from './mirror.ts';

/** Objects brought to one store at once. */
const AT_ONCE = 2;
/** A store that failed is tried again after this long while the process lives, milliseconds. */
const RETRY_MS = 5_000;

/** What one run did. */
export interface CatchUpReport {
  readonly copied: number;
  readonly removed: number;
  readonly repaired: number;
  /** Keys under which two stores hold different objects. */
  readonly conflicts: readonly string[];
  /** Names of the stores for which something is left. */
  readonly left: readonly string[];
}

/** What became of one key. */
export type Outcome = 'copied' | 'equal' | 'gone' | 'removed' | 'repaired' | 'conflict' | 'unproven';

/** The worker behind a mirrored store. At most one run at a time. */
export class CatchUp {
  readonly #mirror: Mirror;
  readonly #check: CheckObject;
  readonly #stopped = new AbortController();
  readonly #expected = new Set<Promise<unknown>>();
  #running: Promise<void> | undefined;
  #resumed = false;
  #isAskedAgain = false;
  #again: NodeJS.Timeout | undefined;

  constructor(mirror: Mirror, check: CheckObject) {
    this.#mirror = mirror;
    this.#check = check;
  }

  /** Starts working in the background, unless it does already. */
  start(): void {
    if (this.#stopped.signal.aborted) return;
    if (this.#running !== undefined) {
      this.#isAskedAgain = true;
      return;
    }
    this.#running = this.#background().finally(() => {
      this.#running = undefined;
      // What came while it ran may have come after its store was served.
      if (!this.#isAskedAgain) return;
      this.#isAskedAgain = false;
      this.start();
    });
    // Only a defect comes through; it is found by `run`, which is awaited.
    this.#running.catch(() => undefined);
  }

  /** Takes up what an earlier process left; the first write of this one calls it. */
  resume(): void {
    if (this.#resumed) return;
    this.#resumed = true;
    if (this.#mirror.asked.some(({ behind }) => behind)) this.start();
  }

  /** Something is being written down that shall not be lost at the end. */
  expect(work: Promise<unknown>): void {
    const settled = work.finally(() => this.#expected.delete(settled)).catch(() => undefined);
    this.#expected.add(settled);
  }

  /** Settles when there is nothing to do that can be done now. */
  async idle(): Promise<void> {
    while (this.#expected.size > 0) await Promise.all(this.#expected);
    while (this.#running !== undefined) await this.#running;
  }

  stop(): void {
    clearTimeout(this.#again);
    this.#stopped.abort(new DOMException('the mirrored store was closed', 'AbortError'));
  }

  /** One pass over the journals of all stores that can be reached. */
  async run(signal?: AbortSignal): Promise<CatchUpReport> {
    await this.#mirror.ready();
    const counted = { copied: 0, removed: 0, repaired: 0 };
    const conflicts: string[] = [];
    const left: string[] = [];
    await Promise.all(
      this.#mirror.asked.map(async (member) => {
        const done = await this.#serve(member, signal, (outcome, key) => {
          if (outcome === 'copied' || outcome === 'removed' || outcome === 'repaired') counted[outcome] += 1;
          if (outcome === 'conflict') conflicts.push(key);
        });
        if (!done) left.push(member.name);
      }),
    );
    return { ...counted, conflicts, left };
  }

  async #background(): Promise<void> {
    const { signal } = this.#stopped;
    const { left } = await this.run(signal);
    if (left.length === 0 || signal.aborted) return;
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.start(), RETRY_MS);
    this.#again.unref();
  }

  /** True when nothing is left to do for that store. */
  async #serve(
    member: Member,
    signal: AbortSignal | undefined,
    tell: (outcome: Outcome, key: string) => void,
  ): Promise<boolean> {
    const { journal } = this.#mirror;
    for (;;) {
      const isOwing = this.#mirror.isOwing(member);
      const entries = await journal.entries(member.name);
      if (entries.length === 0) {
        // An empty journal tells nothing of what was being written down as it was read.
        if (isOwing || this.#mirror.isOwing(member)) return false;
        member.behind = false;
        this.#mirror.stale.delete(member.name);
        return true;
      }
      const queue = entries.values();
      let failed = false;
      let kept = false;
      const worker = async (): Promise<void> => {
        for (const entry of queue) {
          if (failed) return;
          const result = await this.#attempt(member, entry, signal, tell);
          if (result === 'done') await journal.done(member.name, entry);
          else if (result === 'kept') kept = true;
          else failed = true;
        }
      };
      // Removals come in an order that shows no backup without its packs.
      const isOrdered = entries.some(({ task }) => task === 'delete');
      await Promise.all(Array.from({ length: isOrdered ? 1 : AT_ONCE }, worker));
      if (failed || kept) return false;
    }
  }

  /** `kept`: this object cannot be brought over now; `failed`: the store, or all it could be fed from, cannot be used. */
  async #attempt(
    member: Member,
    entry: JournalEntry,
    signal: AbortSignal | undefined,
    tell: (outcome: Outcome, key: string) => void,
  ): Promise<'done' | 'kept' | 'failed'> {
    try {
      for (const key of entry.keys)
        tell(await perform(this.#mirror, this.#check, { member, key, task: entry.task, signal }), key);
      return 'done';
    } catch (error) {
      if (!isKeyframeError(error) && signal?.aborted !== true) throw error;
      member.note(error);
      return hasCode(error, 'CORRUPT', 'UNSUPPORTED', 'CONFLICT') ? 'kept' : 'failed';
    }
  }
}

/** One task for one object of one store. */
export interface Errand {
  readonly member: Member;
  readonly key: string;
  readonly task: JournalEntry['task'];
  readonly signal: AbortSignal | undefined;
}

/** @throws {KeyframeError} what the store raises, UNAVAILABLE when no other store can be asked */
export async function perform(mirror: Mirror, check: CheckObject, errand: Errand): Promise<Outcome> {
  signalOf(errand);
  const { member, key, signal } = errand;
  const { holders, faults } = await holdersOf(mirror, errand);
  if (errand.task === 'delete') {
    // Written again since, on other stores: then it is to stay.
    if (holders.length > 0) return copy(mirror, check, errand, holders);
    if (faults.length > 0) throw faults[0];
    await member.use((store) => store.delete([key], { signal }));
    return 'removed';
  }
  if (holders.length === 0) {
    if (faults.length > 0) throw faults[0];
    return 'gone';
  }
  return errand.task === 'repair' ? repair(mirror, check, errand, holders) : copy(mirror, check, errand, holders);
}

function signalOf({ signal }: Errand): void {
  signal?.throwIfAborted();
}

async function holdersOf(
  mirror: Mirror,
  { member, key, signal }: Errand,
): Promise<{ readonly holders: Member[]; readonly faults: unknown[] }> {
  const holders: Member[] = [];
  const faults: unknown[] = [];
  for (const other of byNearness(mirror.readable(key).filter((each) => each !== member))) {
    try {
      if ((await other.use((store) => store.stat(key, { signal }))) !== undefined) holders.push(other);
    } catch (error) {
      signal?.throwIfAborted();
      faults.push(error);
    }
  }
  return { holders, faults };
}

/** Brings the first good copy over. */
async function copy(
  mirror: Mirror,
  check: CheckObject,
  { member, key, task, signal }: Errand,
  holders: readonly Member[],
): Promise<Outcome> {
  let damage: unknown;
  for (const from of holders) {
    try {
      await member.use(async (store) =>
        copyVerified(from.store, store, key, { check, replace: task === 'replace', signal }),
      );
      return 'copied';
    } catch (error) {
      if (hasCode(error, 'ALREADY_EXISTS')) return compare(mirror, check, { member, key, task, signal }, holders);
      if (hasCode(error, 'NOT_FOUND')) return 'gone';
      if (!hasCode(error, 'CORRUPT')) throw error;
      mirror.onEvent({ kind: 'damage', key, store: from.name });
      damage = error;
    }
  }
  throw damage;
}

/** Something is there already: the same, a damaged copy, or another object that must stay as it is. */
async function compare(
  mirror: Mirror,
  check: CheckObject,
  errand: Errand,
  holders: readonly Member[],
): Promise<Outcome> {
  const { member, key, signal } = errand;
  const own = await digestOf(member, key, signal);
  for (const other of holders) if ((await digestOf(other, key, signal)) === own) return 'equal';
  return repair(mirror, check, errand, holders);
}

/**
 * Replaces a copy, but only one that fails its proof by one that passes it. Two objects that both prove themselves are
 * twins: which one is right no store can tell.
 */
export async function repair(
  mirror: Mirror,
  check: CheckObject,
  { member, key, signal }: Errand,
  holders: readonly Member[],
): Promise<Outcome> {
  const state = await stateOf(member, check, key, signal);
  if (state === 'unproven') return 'unproven';
  if (state === 'good') {
    const twins = await twinsOf(mirror, check, { member, key, signal }, holders);
    if (twins.length === 0) return 'equal';
    mirror.onEvent({ kind: 'conflict', key, stores: namesOf([member, ...twins]) });
    return 'conflict';
  }
  for (const from of holders) {
    if (state === 'bad' && (await stateOf(from, check, key, signal)) !== 'good') continue;
    await member.use((store) => copyVerified(from.store, store, key, { check, replace: state === 'bad', signal }));
    mirror.trust(key, member);
    mirror.onEvent({ kind: 'repaired', key, store: member.name });
    return 'repaired';
  }
  return 'unproven';
}

/** Which of the others hold an object that proves itself and is another one. */
async function twinsOf(
  mirror: Mirror,
  check: CheckObject,
  { member, key, signal }: Pick<Errand, 'member' | 'key' | 'signal'>,
  others: readonly Member[],
): Promise<Member[]> {
  const own = await mirror.contentOf(member, key, signal);
  const twins: Member[] = [];
  for (const other of others) {
    if ((await stateOf(other, check, key, signal)) === 'bad') continue;
    if ((await mirror.contentOf(other, key, signal)) !== own) twins.push(other);
  }
  return twins;
}

async function stateOf(
  member: Member,
  check: CheckObject,
  key: string,
  signal: AbortSignal | undefined,
): Promise<'good' | 'bad' | 'absent' | 'unproven'> {
  try {
    await member.use((store) => check(store, key, { signal }));
    return 'good';
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return 'absent';
    if (hasCode(error, 'CORRUPT')) return 'bad';
    if (hasCode(error, 'INVALID_OPTION', 'REPOSITORY_FORMAT')) return 'unproven';
    throw error;
  }
}
