import { counted } from '@keyframe/contracts';
import type { PlanReport } from '@keyframe/engine';
import { formatSize } from './format.ts';
import { formatKnownDamage } from './known-damage.ts';
import type { TextOutput } from './text.ts';

/** A recovery plan for people. */
export function renderPlan(report: PlanReport, out: TextOutput): void {
  const transaction = (each: PlanReport['lastKept']): string | undefined =>
    each === undefined ? undefined : `transaction ${each.xid}, committed ${each.time}, LSN ${each.lsn}`;
  out.fields([
    ['target', report.target],
    ['timeline', String(report.timeline)],
    ['beside it', besides(report.branches)],
    [
      'backup',
      `${report.backup.label} (${formatSize(report.backup.sizeBytes)}, consistent at ${report.backup.stopLsn})`,
    ],
    ['damaged', formatKnownDamage(report.backup.label, report.damage)],
    ...report.passedOver.map(
      ({ label, damage }) => ['passed over', `${label}: ${formatKnownDamage(label, damage) ?? ''}`] as const,
    ),
    [
      'WAL',
      report.wal.first === undefined
        ? 'none'
        : report.wal.segments === 1
          ? `1 segment (${formatSize(report.wal.bytes)}), ${report.wal.first}`
          : `${counted(report.wal.segments, 'segment')} (${formatSize(report.wal.bytes)}), ${report.wal.first} to ${report.wal.last}`,
    ],
    ['stops at', report.stopsAt],
    ['last kept', transaction(report.lastKept)],
    ['first lost', transaction(report.firstLost) ?? 'nothing that is in the archive'],
  ]);
}

/** Where nobody named a timeline, the newest was followed: it must be seen that there is another. */
function besides(branches: PlanReport['branches']): string | undefined {
  if (branches.length === 0) return undefined;
  return branches
    .map(({ timeline, newest }) => `timeline ${timeline} up to ${newest} (--timeline ${timeline})`)
    .join(', ');
}
