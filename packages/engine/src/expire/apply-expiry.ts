/**
 * Carries out an expiry.
 *
 * Order for safety: tombstones (`marked`), the grace period, tombstones (`deciding`), then everything is listed again, and
 * what is still needed by nobody is decided (`removing`) and deleted. Killed at any point nothing needed is lost, and the
 * next run goes on.
 * @packageDocumentation
 */
import { randomUUID } from 'node:crypto';
import { counted, isKeyframeError, KeyframeError } from '@keyframe/contracts';
import type { Repository, Retention, Tombstone, TombstoneState, WalTombstone } from '@keyframe/repository';
import { type StageOptions, warnOf } from '../events.ts';
import { expireIndexes } from '../lens/expire-index.ts';
import { type Due, type DueRemoval, dueRemoval } from './due-removal.ts';
import { type ExpiryFacts, type LabelFact, nameOf } from './facts.ts';
import { type FactsContext, gatherFacts } from './gather-facts.ts';
import { isSameState, nextTombstones, withRange } from './next-tombstones.ts';
import { evaluate, type ExpiryPlan, planExpiry } from './plan-expiry.ts';
import type { RetentionPolicy } from './policy.ts';
import { difference } from './segment-ranges.ts';

/** What an expiry needs from outside. */
export interface ExpireContext extends FactsContext {
  readonly repository: Repository;
  readonly clusterName: string;
}

/** What was removed for good. */
export interface RemovedThings {
  readonly backups: readonly { readonly epoch: number; readonly label: string }[];
  readonly packs: number;
  readonly segments: number;
  readonly sizeBytes: number;
}

/** Something that is expired and still there. */
export interface WaitingThing {
  readonly epoch: number;
  readonly label: string;
  readonly kind: Tombstone['kind'];
  readonly markedAt: string;
  /** Earliest time at which it is removed; until then `undelete` brings it back. */
  readonly removedAfter: string;
}

/** What an expiry did. */
export interface ExpiryOutcome {
  readonly plan: ExpiryPlan;
  readonly waiting: readonly WaitingThing[];
  readonly removed: RemovedThings;
}

const NOTHING: RemovedThings = { backups: [], packs: 0, segments: 0, sizeBytes: 0 };
const LEASE_MS = 60_000;
const TRIES = 10;
const DAY_MS = 86_400_000;
/** From the mark on. */
const REMEMBERED_MS = 180 * DAY_MS;

/** Plans an expiry of a cluster. Changes nothing. @throws {KeyframeError} as {@link applyExpiry} */
export async function previewExpiry(
  context: FactsContext,
  policy: RetentionPolicy,
  options: StageOptions = {},
): Promise<ExpiryOutcome> {
  const retention = await context.history.retention(options);
  const facts = await gatherFacts(context, retention, options);
  const now = context.now();
  const plan = planExpiry(facts, policy, now);
  const since = facts.tombstoneNumber + 1;
  const marking = { markedAt: now.toISOString(), since, isKnown: () => true, isForgotten: () => false };
  const next = nextTombstones(facts.tombstones, plan, marking);
  return { plan, waiting: waitingOf(next, policy), removed: NOTHING };
}

/** What an expiry would free in so many days of what is there today, bytes. Reads the facts once. */
export async function foretellFreed(
  context: FactsContext,
  policy: RetentionPolicy,
  options: StageOptions = {},
): Promise<(days: number) => number> {
  const facts = await gatherFacts(context, await context.history.retention(options), options);
  const nowMs = context.now().getTime();
  return (days) => planExpiry(facts, policy, new Date(nowMs + days * DAY_MS)).freedBytes;
}

/**
 * Marks what the policy lets go, and removes what was marked a grace period ago and is still needed by nobody.
 * @throws {KeyframeError} LOCKED, CORRUPT, CONFLICT when others change the tombstones all the time, UNAVAILABLE, ACCESS_DENIED
 */
export async function applyExpiry(
  context: ExpireContext,
  policy: RetentionPolicy,
  options: StageOptions = {},
): Promise<ExpiryOutcome> {
  const { repository, clusterName, holder, stateOf } = context;
  const lease = await repository.lease(`${clusterName}/expire`, holder, {
    ttlMs: LEASE_MS,
    isHolderAlive: async (other) => (await stateOf(other)) !== 'dead',
    signal: options.signal,
  });
  const signal = options.signal === undefined ? lease.lost : AbortSignal.any([options.signal, lease.lost]);
  try {
    const retention = await context.history.retention({ signal });
    const outcome = await new Expiry(context, policy, retention, { ...options, signal }).run();
    if (outcome.plan.blocks.length === 0) await expireIndexes(context.history, { signal });
    return outcome;
  } finally {
    await lease.release().catch((error: unknown) => {
      if (!isKeyframeError(error)) throw error;
      warnOf(options)(error); // it ends by itself
    });
  }
}

function waitingOf({ backups }: TombstoneState, { graceMs }: RetentionPolicy): WaitingThing[] {
  return backups
    .filter(({ phase }) => phase === 'marked')
    .map(({ epoch, label, kind, markedAt }) => ({
      epoch,
      label,
      kind,
      markedAt,
      removedAfter: new Date(Date.parse(markedAt) + graceMs).toISOString(),
    }));
}

class Expiry {
  readonly #context: ExpireContext;
  readonly #policy: RetentionPolicy;
  readonly #retention: Retention;
  readonly #options: StageOptions;
  /** Makes what this run decides its own: nobody else may take it back. */
  readonly #token = randomUUID();

  constructor(context: ExpireContext, policy: RetentionPolicy, retention: Retention, options: StageOptions) {
    this.#context = context;
    this.#policy = policy;
    this.#retention = retention;
    this.#options = options;
  }

  async run(): Promise<ExpiryOutcome> {
    for (let tried = 0; tried < TRIES; tried += 1) {
      const { facts, plan } = await this.#mark();
      const removed = plan.blocks.length > 0 ? NOTHING : await this.#remove(facts);
      if (removed === undefined) continue;
      const { state } = await this.#retention.tombstones.read(this.#options);
      if (plan.blocks.length === 0) await this.#retention.tombstones.trim(this.#options);
      return { plan, waiting: waitingOf(state, this.#policy), removed };
    }
    throw contended();
  }

  /** Brings the tombstones in line with the plan. Gives the facts with the tombstones as they are then. */
  async #mark(): Promise<{ facts: ExpiryFacts; plan: ExpiryPlan }> {
    const { tombstones } = this.#retention;
    for (let tried = 0; tried < TRIES; tried += 1) {
      const facts = await gatherFacts(this.#context, this.#retention, this.#options);
      const now = this.#context.now();
      const plan = planExpiry(facts, this.#policy, now);
      if (plan.blocks.length > 0) return { facts, plan };
      const ages = await this.#writtenAt(facts.tombstones);
      const next = nextTombstones(facts.tombstones, plan, {
        markedAt: now.toISOString(),
        since: facts.tombstoneNumber + 1,
        isKnown: (since) => ages.get(since) !== undefined,
        isForgotten: (entry) => isForgotten(entry, facts, now),
      });
      if (isSameState(facts.tombstones, next)) return { facts, plan };
      if (await tombstones.follow(facts.tombstoneNumber, next, this.#options))
        return { facts: { ...facts, tombstones: next, tombstoneNumber: facts.tombstoneNumber + 1 }, plan };
    }
    throw contended();
  }

  /** Undefined when others changed the tombstones meanwhile: then nothing was done. */
  async #remove(facts: ExpiryFacts): Promise<RemovedThings | undefined> {
    const inherited = facts.tombstones.backups.filter((each) => isInherited(each, facts));
    const { due, waiting } = await this.#due(facts);
    const first = this.#decide(facts, { backups: [...due.backups, ...inherited], wal: due.wal });
    const isNothing = first.tombstones.length === 0 && first.walRanges.length === 0 && inherited.length === 0;
    if (isNothing || first.unknown.length > 0) return NOTHING;
    const own = first.tombstones.map((each) => this.#claim(each));
    const others = facts.tombstones.backups.filter((each) => !inherited.includes(each) && each.phase !== 'marked');
    const state = { backups: [...others, ...leftOver(waiting, due.backups, own), ...own], wal: facts.tombstones.wal };
    if (!(await this.#retention.tombstones.follow(facts.tombstoneNumber, state, this.#options))) return undefined;
    // Whoever began or published before this was written is listed now; whoever does so later sees it and steps back.
    // The stores were compared before: what this run has just written may still be on its way to one of them.
    const again = await gatherFacts({ ...this.#context, blocks: undefined }, this.#retention, this.#options);
    const second = this.#decide(again, { backups: own, wal: due.wal });
    const decided = again.blocks.length > 0 || second.unknown.length > 0 ? undefined : second;
    const stand = await this.#amend(own.length, (entry) => confirmed(entry, decided));
    return decided === undefined ? NOTHING : this.#delete(decided, stand);
  }

  /** This run asks once more; what an earlier one had decided stays decided. */
  #claim(entry: Tombstone): Tombstone {
    const phase = entry.phase === 'removing' || entry.phase === 'fenced' ? 'removing' : 'deciding';
    return { ...entry, phase, token: this.#token };
  }

  #decide(facts: ExpiryFacts, due: Due): DueRemoval {
    const [policy, now] = [this.#policy, this.#context.now()];
    return dueRemoval(due, { facts, evaluation: evaluate(facts, policy, now), policy, now });
  }

  async #delete(removal: DueRemoval, own: number): Promise<RemovedThings> {
    const removed: RemovedThings = {
      backups: removal.tombstones.filter(({ kind }) => kind === 'backup').map(({ epoch, label }) => ({ epoch, label })),
      packs: removal.packs.length,
      segments: removal.segments,
      sizeBytes: removal.sizeBytes,
    };
    this.#options.onEvent?.({
      kind: 'phase',
      phase: 'remove',
      message: `removing ${counted(removed.backups.length, 'backup')}, ${counted(removed.packs, 'pack')} and ${counted(removed.segments, 'WAL segment')}`,
    });
    await this.#sign(removal);
    await this.#retention.remove(removal, this.#options);
    await this.#amend(
      own,
      (entry) => (entry.kind === 'packs' ? undefined : fenced(entry)),
      (wal) =>
        wal.flatMap((each) => {
          const gone = removal.walRanges.filter(
            ({ epoch, timeline }) => epoch === each.epoch && timeline === each.timeline,
          );
          return difference([each], gone).map((range) => withRange(each, range));
        }),
    );
    return removed;
  }

  /** Signs what goes before it goes, so that nobody takes it for a loss. Where the chain is broken, nothing is removed. */
  async #sign({ tombstones, wal }: DueRemoval): Promise<void> {
    const { history } = this.#context;
    for (const epoch of new Set([...tombstones, ...wal].map((each) => each.epoch))) {
      const backups = tombstones.filter((each) => each.epoch === epoch && each.kind === 'backup');
      const names = wal.filter((each) => each.epoch === epoch).map(({ name }) => name);
      if (backups.length + names.length === 0) continue;
      const { chain } = await history.at(epoch, this.#options);
      await chain.expire({ backups: backups.map(({ label }) => label), wal: names }, this.#options);
    }
  }

  /**
   * Changes this run's own tombstones, of which there must be `count`; gives how many there are then.
   * @throws {KeyframeError} CONFLICT when another run has taken them over: then nothing more may be done for them
   */
  async #amend(
    count: number,
    change: (own: Tombstone) => Tombstone | undefined,
    changeWal: (wal: readonly WalTombstone[]) => readonly WalTombstone[] = (wal) => wal,
  ): Promise<number> {
    for (let tried = 0; tried < TRIES; tried += 1) {
      const { number, state } = await this.#retention.tombstones.read(this.#options);
      const isOwn = (each: Tombstone): boolean => each.token === this.#token;
      if (state.backups.filter(isOwn).length !== count) throw contended();
      const next = {
        backups: state.backups.flatMap((each) => (isOwn(each) ? (change(each) ?? []) : [each])),
        wal: changeWal(state.wal),
      };
      const left = next.backups.filter(isOwn).length;
      if (isSameState(state, next) || (await this.#retention.tombstones.follow(number, next, this.#options)))
        return left;
    }
    throw contended();
  }

  /** Marks that are older than the grace period by this host's clock and by the store's. */
  async #due({ tombstones }: ExpiryFacts): Promise<{ due: Due; waiting: readonly Tombstone[] }> {
    const { graceMs } = this.#policy;
    const [lease] = await this.#retention.leases('expire', this.#options);
    const storeMs = lease?.writtenAt.getTime();
    const nowMs = this.#context.now().getTime();
    const written = await this.#writtenAt(tombstones);
    const isDue = ({ markedAt, since }: { readonly markedAt: string; readonly since: number }): boolean => {
      const writtenAt = written.get(since);
      if (writtenAt === undefined || storeMs === undefined) return false;
      // Without a grace period an object that was written a moment after the lease is due as well.
      return nowMs - Date.parse(markedAt) >= graceMs && (graceMs === 0 || storeMs - writtenAt.getTime() >= graceMs);
    };
    const marked = tombstones.backups.filter(({ phase }) => phase === 'marked');
    const due: Tombstone[] = [];
    for (const each of marked.filter(isDue)) if (!(await this.#isLocked(each))) due.push(each);
    return { due: { backups: due, wal: tombstones.wal.filter(isDue) }, waiting: marked };
  }

  async #isLocked({ epoch, label, packs }: Tombstone): Promise<boolean> {
    if (this.#policy.lockedMs === undefined) return false;
    const { locks } = await this.#context.history.at(epoch, this.#options);
    return (await locks?.until(label, packs, this.#options)) !== undefined;
  }

  async #writtenAt({ backups, wal }: TombstoneState): Promise<ReadonlyMap<number, Date | undefined>> {
    const numbers = new Set([...backups.filter(({ phase }) => phase === 'marked'), ...wal].map(({ since }) => since));
    const written = new Map<number, Date | undefined>();
    for (const number of numbers)
      written.set(number, await this.#retention.tombstones.writtenAt(number, this.#options));
    return written;
  }
}

/** What another run decided and did not finish, or a fenced backup whose objects came back. */
function isInherited({ phase, epoch, label, kind }: Tombstone, { epochs }: ExpiryFacts): boolean {
  if (phase === 'removing' || phase === 'deciding') return true;
  if (phase !== 'fenced') return false;
  // Packs alone are no return: younger backups may need them, and those that nobody needs are marked by themselves.
  const isBack = (other: LabelFact): boolean =>
    other.label === label && (kind === 'backup' ? other.otherBytes > 0 : true);
  return epochs.some((each) => each.epoch === epoch && each.labels.some(isBack));
}

/**
 * A removed backup is remembered as long as anything of it is there, and for months after: a store that was away may bring
 * back what was removed meanwhile. What became of an unfinished one is never forgotten: its process may sleep for ever.
 */
function isForgotten({ kind, phase, epoch, label, markedAt }: Tombstone, { epochs }: ExpiryFacts, now: Date): boolean {
  if (kind !== 'backup' || phase !== 'fenced') return false;
  if (now.getTime() - Date.parse(markedAt) < REMEMBERED_MS) return false;
  return !epochs.some((each) => each.epoch === epoch && each.labels.some((other) => other.label === label));
}

/** Marks that stay: those not due, and of those that are the packs that somebody still needs. */
function leftOver(marked: readonly Tombstone[], due: readonly Tombstone[], own: readonly Tombstone[]): Tombstone[] {
  return marked.flatMap((each): Tombstone[] => {
    if (!due.includes(each)) return [each];
    const going = own.find(
      (other) => nameOf(other) === nameOf(each) && other.kind === each.kind && other.since === each.since,
    );
    if (going === undefined) return [each];
    const taken = new Set(going.packs);
    const packs = each.packs.filter((number) => !taken.has(number));
    return packs.length === 0 ? [] : [{ ...each, kind: 'packs', packs }];
  });
}

/** What becomes of an own tombstone when everything was listed again. */
function confirmed(entry: Tombstone, decided: DueRemoval | undefined): Tombstone | undefined {
  const stands = decided?.tombstones.find(
    (each) => nameOf(each) === nameOf(entry) && each.kind === entry.kind && each.since === entry.since,
  );
  if (stands !== undefined) return { ...entry, packs: stands.packs, phase: 'removing' };
  // Decided by an earlier run: objects may be gone, so it never counts again. Of the rest nothing was deleted.
  return entry.phase === 'removing' && entry.kind !== 'packs' ? entry : undefined;
}

function fenced(entry: Tombstone): Tombstone {
  return { ...entry, token: undefined, packs: [], phase: 'fenced' };
}

function contended(): KeyframeError {
  return new KeyframeError('CONFLICT', 'others change what of this cluster is expired at the same time', {
    hint: 'Run `keyframe expire` again when no other one runs.',
  });
}
