import type { Lsn, TimelineId } from '@keyframe/contracts';
import type { RecordFact, TransactionFact, WalEnd, WalFact } from '@keyframe/wal';
import type { RecoveryTarget } from './recovery-target.ts';
import { isNewer, type TransactionPoint } from './transaction-point.ts';
import { type Nearest, type Seen, whyUnreachable, type WhyNot } from './unreachable.ts';

/** A resolved recovery target: what PostgreSQL will do, and what that keeps and loses. */
export interface Moment {
  /** The timeline that replay is on when it stops, from which a promotion forks. */
  readonly timeline: TimelineId;
  /** End of the last record that is replayed: where the next timeline begins. */
  readonly stopsAt: Lsn;
  /** Whether replay stops before or after `record`, or for want of more WAL. */
  readonly stops: 'before' | 'after' | 'at-end';
  /** Start of the record that decides; at the end of the WAL, of the last one. */
  readonly record: Lsn | undefined;
  /** The transaction whose end decides: that of an xid, or the first one too late for a time. */
  readonly decidedBy: (TransactionPoint & { readonly ended: 'commit' | 'abort' }) | undefined;
  /** The last transaction that replay commits. */
  readonly lastKept: TransactionPoint | undefined;
  /** The first transaction committed in this WAL that is not replayed. */
  readonly firstLost: TransactionPoint | undefined;
  /** Transactions that replay commits. */
  readonly committedKept: number;
  /** Transactions committed in the rest of the WAL. Only when asked for. */
  readonly committedLost: number | undefined;
  /** All of the WAL is replayed. */
  readonly reachedEnd: boolean;
  /** With `reachedEnd`, what was met there; absent when the WAL ends with a whole segment. */
  readonly end: WalEnd | undefined;
}

/** Either the moment, or why PostgreSQL would refuse the target and what it would not refuse. */
export type Resolution =
  | { readonly reachable: true; readonly moment: Moment }
  | { readonly reachable: false; readonly why: WhyNot; readonly nearest: Nearest };

/** Where replay begins. */
export interface ReplayStart {
  /** The timeline of the backup. */
  readonly timeline: TimelineId;
  /** The backup's start LSN, where the pass over the WAL begins too. */
  readonly redo: Lsn;
  /** The backup's stop LSN, from which on the data are consistent. */
  readonly consistentAt: Lsn;
  /** When the backup stopped, microseconds since 1970-01-01 UTC: an earlier time is no target for it. */
  readonly stoppedMicros?: bigint | undefined;
}

interface Stop {
  readonly stops: 'before' | 'after';
  readonly stopsAt: Lsn;
  readonly fact: WalFact;
}

/** Where the pass over the WAL came to. */
interface ScanEnd {
  readonly position: Lsn;
  readonly lastRecord: Lsn | undefined;
  readonly ended: WalEnd | undefined;
  /** It went on to the end of the WAL, so that what is lost is counted. */
  readonly isCounted: boolean;
}

/** Restore points kept for suggestions; some sites write one a minute. */
const MANY_NAMES = 1000;

/** Resource manager of transaction records, the only ones after which PostgreSQL asks whether it is consistent. */
const RM_XACT = 1;

const pointOf = ({ xid, timeMicros, lsn }: TransactionFact): TransactionPoint => ({ xid, timeMicros, lsn });

/** PostgreSQL's decision where to stop, made fact by fact. */
export class StopRule {
  readonly #target: RecoveryTarget;
  readonly #start: ReplayStart;
  #timeline: TimelineId;
  #stop: Stop | undefined;
  #lastKept: TransactionPoint | undefined;
  #firstLost: TransactionPoint | undefined;
  #committedKept = 0;
  #committedLost = 0;
  #hasEarlierEnd = false;
  readonly #seen: Seen = {
    names: [],
    firstXid: undefined,
    newestXid: undefined,
    lastEnd: undefined,
    watched: undefined,
  };

  constructor(target: RecoveryTarget, start: ReplayStart) {
    this.#target = target;
    this.#start = start;
    this.#timeline = start.timeline;
  }

  /** Nothing more is to be learnt but how much is lost. */
  get isDone(): boolean {
    return this.#stop !== undefined && (this.#firstLost !== undefined || this.isTooEarly);
  }

  /** The target lies where the data are not consistent yet, which PostgreSQL refuses, or before the backup altogether. */
  get isTooEarly(): boolean {
    return this.#stop !== undefined && (this.#stop.stopsAt < this.#start.consistentAt || this.#isBeforeBackup);
  }

  /**
   * PostgreSQL compares a time with the ends of transactions in the WAL it replays, and knows of none before the backup: it
   * would keep all that the backup holds, later than the target or not. An end in time in that WAL proves that it fits.
   */
  get #isBeforeBackup(): boolean {
    const { stoppedMicros } = this.#start;
    if (this.#target.kind !== 'time' || this.#hasEarlierEnd || stoppedMicros === undefined) return false;
    return this.#target.micros < stoppedMicros;
  }

  /** Takes the facts in the order of the WAL. */
  see(fact: WalFact): void {
    this.#remember(fact);
    this.#stop ??= this.#stopsBefore(fact) ? { stops: 'before', stopsAt: fact.previousEndLsn, fact } : undefined;
    // A record may be told of twice, so what follows a stop after it may still belong to what is replayed.
    if (this.#stop !== undefined && fact.endLsn > this.#stop.stopsAt) return this.#lose(fact);
    this.#apply(fact);
    this.#stop ??= this.#stopsAfter(fact) ? { stops: 'after', stopsAt: fact.endLsn, fact } : undefined;
  }

  #stopsBefore(fact: WalFact): boolean {
    const target = this.#target;
    if (target.kind === 'immediate') return fact.kind === 'record' && fact.previousEndLsn >= this.#start.consistentAt;
    if (target.kind === 'lsn') return !target.inclusive && fact.kind === 'record' && fact.lsn >= target.lsn;
    if (fact.kind !== 'commit' && fact.kind !== 'abort') return false;
    if (target.kind === 'xid') return !target.inclusive && fact.xid === target.xid;
    if (target.kind !== 'time') return false;
    return target.inclusive ? fact.timeMicros > target.micros : fact.timeMicros >= target.micros;
  }

  #stopsAfter(fact: WalFact): boolean {
    const target = this.#target;
    if (fact.kind === 'record') return this.#stopsAfterRecord(fact);
    if (fact.kind === 'restore-point') return target.kind === 'name' && fact.name === target.name;
    const ends = fact.kind === 'commit' || fact.kind === 'abort';
    return ends && target.kind === 'xid' && target.inclusive && fact.xid === target.xid;
  }

  #stopsAfterRecord(fact: RecordFact): boolean {
    const target = this.#target;
    if (target.kind === 'lsn') return target.inclusive && fact.lsn >= target.lsn;
    const { consistentAt } = this.#start;
    return target.kind === 'immediate' && fact.resourceManager === RM_XACT && fact.endLsn >= consistentAt;
  }

  #apply(fact: WalFact): void {
    // The record that begins a timeline already counts as part of it.
    if (fact.kind === 'end-of-recovery' || (fact.kind === 'checkpoint' && fact.shutdown))
      this.#timeline = fact.timeline;
    if (fact.kind === 'commit' || fact.kind === 'abort') this.#hasEarlierEnd = true;
    if (fact.kind !== 'commit') return;
    this.#lastKept = pointOf(fact);
    this.#committedKept += 1;
  }

  #lose(fact: WalFact): void {
    if (fact.kind !== 'commit') return;
    this.#firstLost ??= pointOf(fact);
    this.#committedLost += 1;
  }

  #remember(fact: WalFact): void {
    const seen = this.#seen;
    if (fact.kind === 'restore-point' && seen.names.push(fact.name) > MANY_NAMES) seen.names.shift();
    if (fact.kind === 'subtransaction') seen.watched = { lsn: fact.lsn, topXid: fact.topXid };
    if (fact.kind === 'record' && this.#target.kind === 'xid') seen.watched ??= { lsn: fact.lsn };
    if (fact.kind !== 'commit' && fact.kind !== 'abort') return;
    seen.lastEnd = { ...pointOf(fact), ended: fact.kind };
    seen.firstXid ??= fact.xid;
    if (seen.newestXid === undefined || isNewer(fact.xid, seen.newestXid)) seen.newestXid = fact.xid;
  }

  /** The decision, once all facts that matter were seen. */
  resolve(end: ScanEnd): Resolution {
    const { consistentAt } = this.#start;
    const isLatest = this.#target.kind === 'latest' && end.position >= consistentAt;
    const isTooEarly = this.isTooEarly || this.#isBeforeBackup;
    if (!isTooEarly && (this.#stop !== undefined || isLatest)) return { reachable: true, moment: this.#moment(end) };
    const nearest: Nearest = { lastCommit: this.#lastKept, end: end.position, consistentAt };
    const why = whyUnreachable(this.#target, { seen: this.#seen, nearest, isTooEarly, ended: end.ended });
    return { reachable: false, why, nearest };
  }

  #moment(end: ScanEnd): Moment {
    const atEnd = { stops: 'at-end', stopsAt: end.position, fact: undefined } as const;
    const { stops, stopsAt, fact } = this.#stop ?? atEnd;
    const decides = fact?.kind === 'commit' || fact?.kind === 'abort';
    return {
      timeline: this.#timeline,
      stopsAt,
      stops,
      record: fact === undefined ? end.lastRecord : fact.lsn,
      decidedBy: decides ? { ...pointOf(fact), ended: fact.kind } : undefined,
      lastKept: this.#lastKept,
      firstLost: this.#firstLost,
      committedKept: this.#committedKept,
      committedLost: end.isCounted ? this.#committedLost : undefined,
      reachedEnd: stops === 'at-end',
      end: stops === 'at-end' ? end.ended : undefined,
    };
  }
}
