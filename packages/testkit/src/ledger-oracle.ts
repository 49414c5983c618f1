/** Which transactions a recovery must show: PostgreSQL's stopping rules, applied to what pg_waldump printed. @packageDocumentation */
import { formatLsn, type Lsn, lsn, type TimelineId } from '@keyframe/contracts';
import type { WalRecords } from './ledger-archive.ts';
import { recordsOfPath, type TransactionEnd, type WalRecord } from './ledger-waldump.ts';
import type { Random } from './random.ts';

/** Where a recovery is to stop. `timeline` says on which branch; default the newest. */
export type LedgerTarget = { readonly timeline?: TimelineId } & (
  | { readonly kind: 'time'; readonly timeMicros: bigint; readonly inclusive: boolean }
  | { readonly kind: 'xid'; readonly xid: number; readonly inclusive: boolean }
  | { readonly kind: 'lsn'; readonly lsn: Lsn; readonly inclusive: boolean }
  | { readonly kind: 'name'; readonly name: string }
  /** As soon as the backup that began there is consistent. */
  | { readonly kind: 'immediate'; readonly backupStart: Lsn }
  | { readonly kind: 'latest' }
);

/** What a recovery must show, and whether it can get there. */
export interface Expectation {
  /** Every ledger transaction that must be visible, and no other. */
  readonly xids: ReadonlySet<number>;
  /** False when the WAL ends before the target: PostgreSQL then refuses to finish recovery. */
  readonly reached: boolean;
  /** No record from here on is replayed. */
  readonly stop: Lsn;
}

type PlacedRecord = WalRecord & { readonly timeline: TimelineId };

const END_OF_LSNS = lsn(2n ** 64n - 1n);

/** Where recovery stops: before or after the record at that index; `undefined` when nothing stops it. */
type Stop = { readonly at: number; readonly after: boolean } | undefined;

const isEnd = (record: WalRecord): record is TransactionEnd & PlacedRecord =>
  record.kind === 'commit' || record.kind === 'abort';

const stop = (at: number, after: boolean): Stop => (at < 0 ? undefined : { at, after });

/** PostgreSQL's recoveryStopsBefore and recoveryStopsAfter. @see src/backend/access/transam/xlogrecovery.c */
function findStop(target: LedgerTarget, records: readonly PlacedRecord[]): Stop {
  const first = (test: (record: PlacedRecord) => boolean): number => records.findIndex(test);
  switch (target.kind) {
    case 'time': {
      // Times do not ascend strictly with the WAL: the first later one stops, whatever follows.
      const { timeMicros, inclusive } = target;
      const stops = (time: bigint): boolean => (inclusive ? time > timeMicros : time >= timeMicros);
      return stop(
        first((record) => isEnd(record) && stops(record.timeMicros)),
        false,
      );
    }
    case 'xid':
      return stop(
        first((record) => isEnd(record) && record.xid === target.xid),
        target.inclusive,
      );
    case 'lsn': {
      const at = first((record) => record.lsn >= target.lsn);
      const record = records[at];
      // We see only some records. One that we do not see lies between when the one before is not before the target.
      const isFirst = record !== undefined && record.previous < target.lsn;
      return stop(at, target.inclusive && isFirst);
    }
    case 'name':
      return stop(
        first((record) => record.kind === 'restore-point' && record.name === target.name),
        true,
      );
    case 'immediate':
      return stop(
        first((record) => record.kind === 'backup-end' && record.backupStart === target.backupStart),
        true,
      );
    case 'latest':
      return { at: records.length, after: false };
    default:
      return target satisfies never;
  }
}

/** Knows the WAL of one ledger, over all its timelines, and answers what any recovery of it must show. */
export class Oracle {
  readonly #wal: WalRecords;
  readonly #ledger: ReadonlyMap<TimelineId, ReadonlySet<number>>;
  readonly #paths = new Map<TimelineId, readonly PlacedRecord[]>();

  /** `ledger` holds the transactions that the workload began on each timeline; all others in the WAL are not its. */
  constructor(wal: WalRecords, ledger: ReadonlyMap<TimelineId, ReadonlySet<number>>) {
    this.#wal = wal;
    this.#ledger = ledger;
  }

  /** Timelines of which WAL was found, oldest first. */
  get timelines(): readonly TimelineId[] {
    return [...this.#wal.byTimeline.keys()].toSorted((a, b) => a - b);
  }

  /** Every record known on the way to the end of `timeline`, in order of replay. */
  records(timeline: TimelineId = this.timelines.at(-1) ?? 1): readonly PlacedRecord[] {
    const known = this.#paths.get(timeline);
    if (known !== undefined) return known;
    const path = this.#wal.paths.get(timeline) ?? { timeline, ancestors: [] };
    const records = recordsOfPath(path, this.#wal.byTimeline);
    this.#paths.set(timeline, records);
    return records;
  }

  /** Commits of the ledger on the way to the end of `timeline`, in commit order. */
  commits(timeline?: TimelineId): readonly TransactionEnd[] {
    return this.records(timeline)
      .filter(isEnd)
      .filter((record) => record.kind === 'commit' && this.#ledger.get(record.timeline)?.has(record.xid));
  }

  /** What a recovery to `target` must show. */
  expectedAt(target: LedgerTarget): Expectation {
    const records = this.records(target.timeline);
    const found = findStop(target, records);
    const end = found === undefined ? records.length : found.at + (found.after ? 1 : 0);
    const replayed = records.slice(0, end);
    const commits = replayed.filter(({ kind, timeline, ...record }) => {
      return kind === 'commit' && 'xid' in record && this.#ledger.get(timeline)?.has(record.xid) === true;
    });
    return {
      xids: new Set(commits.filter(isEnd).map(({ xid }) => xid)),
      reached: found !== undefined,
      stop: records[end]?.lsn ?? END_OF_LSNS,
    };
  }

  /**
   * Up to `count` different targets, every kind in turn, all of them reachable and none before `from`, where the first
   * base backup is consistent.
   */
  randomTargets(
    count: number,
    random: Random,
    options: { readonly from: Lsn; readonly backupStart?: Lsn | undefined; readonly timeline?: TimelineId | undefined },
  ): readonly LedgerTarget[] {
    const timeline = options.timeline ?? this.timelines.at(-1) ?? 1;
    const targets = new Map<string, LedgerTarget>();
    for (let attempt = 0; targets.size < count && attempt < count * 20 + 200; attempt += 1) {
      const target = this.#draw(KINDS[attempt % KINDS.length] ?? 'time', random, { ...options, timeline });
      if (target === undefined) continue;
      const { reached, stop: end } = this.expectedAt(target);
      if (reached && end >= options.from) targets.set(describeTarget(target), target);
    }
    return [...targets.values()];
  }

  #draw(kind: Kind, random: Random, options: { from: Lsn; backupStart?: Lsn | undefined; timeline: TimelineId }) {
    const { from, timeline, backupStart } = options;
    const commits = this.commits(timeline).filter((commit) => commit.lsn > from);
    const points = this.records(timeline).filter((record) => record.kind === 'restore-point' && record.lsn > from);
    if (commits.length === 0) return undefined;
    const inclusive = !kind.startsWith('before-');
    const commit = random.pick(commits);
    switch (kind) {
      case 'time':
      case 'before-time': {
        // Right on a commit, a microsecond beside it, or somewhere around it.
        const offset = random.pick([0, 0, -1, 1, random.between(-50_000, 50_000)]);
        return { kind: 'time', timeMicros: commit.timeMicros + BigInt(offset), inclusive, timeline } as const;
      }
      case 'xid':
      case 'before-xid':
        return { kind: 'xid', xid: commit.xid, inclusive, timeline } as const;
      case 'lsn':
      case 'before-lsn': {
        const offset = BigInt(random.pick([0, 0, 1, -1, 8, random.between(0, 20_000)]));
        return { kind: 'lsn', lsn: lsn(commit.lsn + offset), inclusive, timeline } as const;
      }
      case 'name': {
        const point = points.length === 0 ? undefined : random.pick(points);
        return point?.kind === 'restore-point' ? ({ kind, name: point.name, timeline } as const) : undefined;
      }
      case 'immediate':
        return backupStart === undefined ? undefined : ({ kind, backupStart, timeline } as const);
      case 'latest':
        return { kind, timeline } as const;
      default:
        return kind satisfies never;
    }
  }
}

const KINDS = ['time', 'xid', 'before-xid', 'lsn', 'name', 'before-lsn', 'before-time', 'immediate', 'latest'] as const;
type Kind = (typeof KINDS)[number];

/** `2026-01-31 10:00:00.000001+00`, which every PostgreSQL reads the same way. */
export function formatMicros(timeMicros: bigint): string {
  const whole = new Date(Number(timeMicros / 1000n)).toISOString().slice(0, 19).replace('T', ' ');
  return `${whole}.${String(timeMicros % 1_000_000n).padStart(6, '0')}+00`;
}

/** One line for a failure's message. */
export function describeTarget(target: LedgerTarget): string {
  const on = target.timeline === undefined ? '' : ` on timeline ${target.timeline}`;
  const bound = 'inclusive' in target && !target.inclusive ? 'before ' : '';
  switch (target.kind) {
    case 'time':
      return `${bound}time ${formatMicros(target.timeMicros)}${on}`;
    case 'xid':
      return `${bound}xid ${target.xid}${on}`;
    case 'lsn':
      return `${bound}LSN ${formatLsn(target.lsn)}${on}`;
    case 'name':
      return `restore point ${target.name}${on}`;
    case 'immediate':
      return `the end of the backup from ${formatLsn(target.backupStart)}${on}`;
    case 'latest':
      return `the end of WAL${on}`;
    default:
      return target satisfies never;
  }
}

/** PostgreSQL's own settings for that target. */
export function recoverySettings(target: LedgerTarget): Readonly<Record<string, string>> {
  const timeline = { recovery_target_timeline: target.timeline === undefined ? 'latest' : String(target.timeline) };
  const inclusive = { recovery_target_inclusive: 'inclusive' in target && !target.inclusive ? 'off' : 'on' };
  switch (target.kind) {
    case 'time':
      return { ...timeline, ...inclusive, recovery_target_time: formatMicros(target.timeMicros) };
    case 'xid':
      return { ...timeline, ...inclusive, recovery_target_xid: String(target.xid) };
    case 'lsn':
      return { ...timeline, ...inclusive, recovery_target_lsn: formatLsn(target.lsn) };
    case 'name':
      return { ...timeline, recovery_target_name: target.name };
    case 'immediate':
      return { ...timeline, recovery_target: 'immediate' };
    case 'latest':
      return timeline;
    default:
      return target satisfies never;
  }
}
