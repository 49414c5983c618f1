import { formatLsn } from '@keyframe/contracts';
import { formatMicros } from '../target/index.ts';
import { describeEntry } from './describe-entry.ts';
import type { LogEntry, TableRows } from './log-entry.ts';
import { type EntryReport, reportEntry, ROWS_COVER } from './log-report.ts';
import type { EffectSum, PlanEffects, SafeTarget } from './plan-effects.ts';

/** A moment as `--json` shows it. */
export interface TargetReport {
  /** Words for the command line that reach it. */
  readonly target: string;
  /** What lies just behind it. */
  readonly before: string;
  readonly xid: number;
  readonly time: string;
  readonly lsn: string;
  /** The last commit it keeps: what replay stops after. */
  readonly lastCommit: { readonly xid: number; readonly time: string; readonly lsn: string } | undefined;
  /** The target that was asked for keeps what this one loses. */
  readonly isKept: boolean;
}

/** Transactions together, as `--json` shows them. */
export interface SumReport {
  readonly transactions: number;
  readonly tables: readonly TableRows[];
}

/** Effects as plain data. */
export interface EffectsReport {
  readonly kept: SumReport;
  readonly lost: SumReport;
  readonly firstLost: readonly EntryReport[];
  readonly keptThoughLater: readonly EntryReport[];
  readonly lostThoughEarlier: readonly EntryReport[];
  readonly targets: readonly TargetReport[];
  readonly missingSegments: number;
  readonly rowsCover: string;
}

/** Effects as plain data, LSNs and times as text. */
export function describeEffects(effects: PlanEffects): EffectsReport {
  const sum = ({ transactions, tables }: EffectSum): SumReport => ({ transactions, tables });
  return {
    kept: sum(effects.kept),
    lost: sum(effects.lost),
    firstLost: effects.firstLost.map(reportEntry),
    keptThoughLater: effects.keptThoughLater.map(reportEntry),
    lostThoughEarlier: effects.lostThoughEarlier.map(reportEntry),
    targets: effects.targets.map(reportTarget),
    missingSegments: effects.missingSegments,
    rowsCover: ROWS_COVER,
  };
}

function reportTarget({ before, lastKept, isKept }: SafeTarget): TargetReport {
  const last = lastKept === undefined ? undefined : lastOf(lastKept);
  return {
    target: `--before-xid ${before.xid}`,
    before: describeEntry(before).join(', '),
    xid: before.xid,
    time: formatMicros(before.timeMicros),
    lsn: formatLsn(before.lsn),
    lastCommit: last,
    isKept,
  };
}

function lastOf({ xid, many, lsn, endLsn, timeMicros }: LogEntry): TargetReport['lastCommit'] {
  return many === undefined
    ? { xid, time: formatMicros(timeMicros), lsn: formatLsn(lsn) }
    : { xid: many.highestXid, time: formatMicros(many.lastTimeMicros), lsn: formatLsn(endLsn) };
}
