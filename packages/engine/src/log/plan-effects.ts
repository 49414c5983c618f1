/** What a target keeps and loses, transaction by transaction. @packageDocumentation */
import { isKeyframeError, lsn } from '@keyframe/contracts';
import type { WalIndexCache } from '@keyframe/repository';
import type { SegmentIndex } from '@keyframe/wal';
import { readHistories } from '../archive/histories.ts';
import { type StageOptions, warnOf } from '../events.ts';
import { chooseTimeline } from '../recovery/choose-timeline.ts';
import type { RecoveryPlan } from '../recovery/plan.ts';
import { isNewer } from '../target/transaction-point.ts';
import { EntryReader } from './entries.ts';
import { crossesRename, type HistoryRange, indexMissing, readHistory, unfolded } from './history-range.ts';
import type { LogEntry, TableRows } from './log-entry.ts';
import { sizeOf } from './table-names.ts';

/** Committed transactions together. */
export interface EffectSum {
  readonly transactions: number;
  /** Rows per table, the largest first. */
  readonly tables: readonly TableRows[];
}

/** A moment that is worth a look instead of the one that was asked for. */
export interface SafeTarget {
  /** What lies behind it: `xid 7431: DELETE 10,000 rows · public.customers`. */
  readonly before: LogEntry;
  /** The last commit that it keeps; absent: none since the backup. */
  readonly lastKept: LogEntry | undefined;
  /** The target that was asked for keeps what this one loses. */
  readonly isKept: boolean;
}

/** What a recovery to the planned moment does to the data. */
export interface PlanEffects {
  /** Since the backup began. */
  readonly kept: EffectSum;
  /** Up to the end of what is archived on this timeline. */
  readonly lost: EffectSum;
  /** The first of the lost, and those among them that deserve a look. */
  readonly firstLost: readonly LogEntry[];
  /** Of an xid: later xids that are kept all the same, for they committed first; and earlier ones that are lost. */
  readonly keptThoughLater: readonly LogEntry[];
  readonly lostThoughEarlier: readonly LogEntry[];
  /** What deserves a look on either side of the target, with the moment just before it. */
  readonly targets: readonly SafeTarget[];
  /** Segments in this range that could not be read whole. */
  readonly missingSegments: number;
}

const SHOWN = { firstLost: 10, order: 20, targets: 6 } as const;

/**
 * Reads the indexes from the backup to the end of the archive; indexes what is missing. `undefined`, with a
 * warning, where they cannot be read, as on a host without the key that opens them.
 */
export async function planEffects(
  plan: RecoveryPlan,
  options: StageOptions & { readonly cache?: WalIndexCache | undefined } = {},
): Promise<PlanEffects | undefined> {
  const { archive, backup, timeline } = plan;
  const inventory = await archive.wal.inventory({ ...options, segmentSizeBytes: backup.walSegmentSizeBytes });
  const histories = await readHistories(archive, inventory, options, timeline);
  const history = chooseTimeline(histories, inventory, timeline);
  const size = BigInt(backup.walSegmentSizeBytes);
  const range = { archive, history, inventory, from: lsn((backup.startLsn / size) * size), cache: options.cache };
  try {
    const refs = await indexMissing(range, options);
    const gathered = new Effects(plan);
    for await (const index of readHistory({ ...range, refs }, options, (segments) => gathered.miss(segments)))
      await gathered.take(range, index, options);
    return gathered.result();
  } catch (error) {
    if (!isKeyframeError(error)) throw error;
    // The plan stands without it.
    warnOf(options)(error);
    return undefined;
  }
}

class Effects {
  readonly #plan: RecoveryPlan;
  readonly #xid: number | undefined;
  readonly #reader = new EntryReader();
  readonly #kept = new Sum();
  readonly #lost = new Sum();
  readonly #firstLost: LogEntry[] = [];
  readonly #keptThoughLater: LogEntry[] = [];
  readonly #lostThoughEarlier: LogEntry[] = [];
  #targets: SafeTarget[] = [];
  #last: LogEntry | undefined;
  #missing = 0;

  constructor(plan: RecoveryPlan) {
    this.#plan = plan;
    this.#xid = plan.target.kind === 'xid' ? plan.target.xid : undefined;
  }

  miss(segments: number): void {
    this.#missing += segments;
  }

  async take(range: HistoryRange, index: SegmentIndex, options: StageOptions): Promise<void> {
    let entries = this.#reader.read(index);
    const mustSplit =
      crossesRename(index) || entries.some((entry) => entry.suspicious.length > 0 || this.#isDivided(entry));
    if (index.folded.length > 0 && mustSplit) entries = this.#reader.read(await unfolded(range, index, options));
    for (const entry of entries) this.#add(entry);
  }

  /** Many transactions in one line, of which some lie on the other side of what is asked for. */
  #isDivided({ many, lsn: first, endLsn, xid }: LogEntry): boolean {
    const { stopsAt } = this.#plan.moment;
    if (many === undefined) return false;
    if (first < stopsAt && endLsn >= stopsAt) return true;
    if (this.#xid === undefined) return false;
    return first >= stopsAt ? isNewer(this.#xid, xid) : isNewer(many.highestXid, this.#xid);
  }

  #add(entry: LogEntry): void {
    if (entry.outcome === 'abort' || entry.kind === 'restore-point') return;
    if (entry.endLsn <= this.#plan.backup.startLsn) return;
    const isKept = entry.endLsn <= this.#plan.moment.stopsAt;
    (isKept ? this.#kept : this.#lost).add(entry);
    if (!isKept && this.#firstLost.length < SHOWN.firstLost && tells(entry)) this.#firstLost.push(entry);
    this.#compareXid(entry, isKept);
    if (entry.suspicious.length > 0) this.#propose({ before: entry, lastKept: this.#last, isKept });
    this.#last = entry;
  }

  #compareXid(entry: LogEntry, isKept: boolean): void {
    const xid = this.#xid;
    if (xid === undefined || entry.many !== undefined || entry.xid === xid) return;
    if (isKept && isNewer(entry.xid, xid)) this.#keptThoughLater.push(entry);
    if (!isKept && isNewer(xid, entry.xid) && this.#lostThoughEarlier.length < SHOWN.order)
      this.#lostThoughEarlier.push(entry);
    if (this.#keptThoughLater.length > SHOWN.order) this.#keptThoughLater.shift();
  }

  /** The nearest on either side. */
  #propose(target: SafeTarget): void {
    const lost = this.#targets.filter(({ isKept }) => !isKept);
    if (!target.isKept && lost.length >= SHOWN.targets / 2) return;
    this.#targets.push(target);
    const kept = this.#targets.filter(({ isKept }) => isKept).slice(-SHOWN.targets / 2);
    this.#targets = [...kept, ...this.#targets.filter(({ isKept }) => !isKept)];
  }

  result(): PlanEffects {
    return {
      kept: this.#kept.result(),
      lost: this.#lost.result(),
      firstLost: this.#firstLost,
      keptThoughLater: this.#keptThoughLater,
      lostThoughEarlier: this.#lostThoughEarlier,
      targets: this.#targets,
      missingSegments: this.#missing,
    };
  }
}

const tells = ({ tables, actions }: LogEntry): boolean => tables.length > 0 || actions.length > 0;

/** Rows of many transactions, per table. */
class Sum {
  #transactions = 0;
  readonly #tables = new Map<string, TableRows>();

  add({ many, tables }: LogEntry): void {
    const count = many?.count ?? 1;
    this.#transactions += count;
    for (const each of tables) {
      const key = `${each.database ?? ''} ${each.name}`;
      const before = this.#tables.get(key);
      this.#tables.set(key, {
        name: each.name,
        database: each.database,
        inserted: (before?.inserted ?? 0) + each.inserted * count,
        updated: (before?.updated ?? 0) + each.updated * count,
        deleted: (before?.deleted ?? 0) + each.deleted * count,
      });
    }
  }

  result(): EffectSum {
    const tables = [...this.#tables.values()].toSorted((one, other) => sizeOf(other) - sizeOf(one));
    return { transactions: this.#transactions, tables };
  }
}
