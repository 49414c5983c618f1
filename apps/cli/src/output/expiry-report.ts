import { counted } from '@keyframe/contracts';
import type { ExpiryReport, RangeReport, RetentionPolicy } from '@keyframe/engine';
import { formatDuration, formatSize, formatTime } from './format.ts';
import type { TextOutput } from './text.ts';

/** An expiry with what it was asked for. */
export interface ShownExpiry extends ExpiryReport {
  readonly cluster: string;
  readonly repository: string;
  readonly dryRun: boolean;
  readonly policy: RetentionPolicy;
}

/** An expiry for people: what stays, what goes and when, and what can be recovered before and after. */
export function renderExpiry(report: ShownExpiry, out: TextOutput): void {
  out.fields([
    ['cluster', `${report.cluster} in ${report.repository}`],
    ['kept', describePolicy(report.policy)],
  ]);
  for (const block of report.blocks) out.line(`${out.style('bad', 'nothing was marked or removed')}: ${block}`);
  out.line();
  out.table(
    ['stays', 'recovers', 'because'],
    report.kept.map(({ label, recovers, reasons }) => [
      label,
      recovers === 'every-moment' ? 'every moment from its end on' : 'its own end only',
      reasons.join('; '),
    ]),
  );
  for (const { label, reason } of report.leftAlone) out.line(out.style('dim', `left alone: ${label}, ${reason}`));
  renderGoing(report, out);
  renderMoments(report, out);
  renderDone(report, out);
}

function renderGoing({ goes, wal, freedBytes, removed }: ShownExpiry, out: TextOutput): void {
  const gone = new Set(removed.backups.map(({ epoch, label }) => `${epoch}/${label}`));
  if (goes.length === 0 && wal.length === 0) {
    out.line('nothing goes');
    return;
  }
  out.line();
  out.table(
    ['goes', 'frees', 'removed after', 'because'],
    [
      ...goes.map(({ epoch, label, kind, packs, sizeBytes, reason, removedAfter }) => [
        kind === 'packs' ? `${counted(packs, 'pack')} of ${label}` : label,
        formatSize(sizeBytes),
        gone.has(`${epoch}/${label}`) ? 'removed' : removedAfter === undefined ? '' : formatTime(removedAfter),
        reason,
      ]),
      ...wal.map(({ first, last, segments, sizeBytes }) => [
        segments === 1 ? `WAL ${first}` : `WAL ${first} to ${last}`,
        formatSize(sizeBytes),
        '',
        'no kept backup needs it',
      ]),
    ],
    { right: [1] },
  );
  out.line(`${formatSize(freedBytes)} in all`);
}

function renderMoments({ recoverable: { before, after } }: ShownExpiry, out: TextOutput): void {
  out.line();
  const same = JSON.stringify(before) === JSON.stringify(after);
  const rows = (when: string, ranges: readonly RangeReport[]): string[][] =>
    ranges.map((range, index) => [index === 0 ? when : '', String(range.timeline), ...span(range), range.backup]);
  out.table(
    ['can be recovered', 'timeline', 'from (UTC)', 'to', 'starting from backup'],
    same ? rows('before and afterwards', before) : [...rows('before', before), ...rows('afterwards', after)],
    { right: [1] },
  );
  if (after.length === 0) out.line(out.style('warning', 'no moment can be recovered: take a backup'));
}

function span({ from, to, fromLsn, toLsn, ownEnd }: RangeReport): string[] {
  const begin = `${formatTime(from)} (${fromLsn})`;
  return [begin, ownEnd ? `its end only (${toLsn})` : `WAL archived ${formatTime(to)} (${toLsn})`];
}

function renderDone({ dryRun, goes, removed }: ShownExpiry, out: TextOutput): void {
  out.line();
  if (dryRun) {
    out.line('dry run: nothing was changed');
    return;
  }
  const { backups, packs, segments, sizeBytes } = removed;
  if (backups.length + packs + segments > 0)
    out.line(
      `${out.style('good', 'removed')} ${counted(backups.length, 'backup')}, ${counted(packs, 'pack')} and ${counted(segments, 'WAL segment')}: ${formatSize(sizeBytes)}`,
    );
  const gone = new Set(backups.map(({ epoch, label }) => `${epoch}/${label}`));
  const waiting = goes.filter(({ kind, epoch, label }) => kind === 'backup' && !gone.has(`${epoch}/${label}`));
  if (waiting.length === 0) return;
  // Said of what was marked just now and of what was marked before.
  const [first] = waiting.flatMap(({ removedAfter }) => (removedAfter === undefined ? [] : [removedAfter])).toSorted();
  const from = first === undefined ? 'the next run' : `the first run after ${formatTime(first)}`;
  out.line(`marked and hidden: ${counted(waiting.length, 'backup')}; ${from} removes what is due by then`);
  out.line(`bring one back with: keyframe undelete ${waiting[0]?.label ?? ''}`);
}

function describePolicy(policy: RetentionPolicy): string {
  const { windowMs, count, daily, weekly, monthly, yearly, minFull, graceMs, wal } = policy;
  const rules: (readonly [string, string | number | undefined])[] = [
    ['window', windowMs === undefined ? undefined : formatDuration(windowMs)],
    ['count', count],
    ['daily', daily],
    ['weekly', weekly],
    ['monthly', monthly],
    ['yearly', yearly],
    ['minFull', minFull],
  ];
  const given = rules.flatMap(([name, value]) => (value === undefined ? [] : [`${name} ${value}`]));
  return `${given.join(', ')}; grace ${formatDuration(graceMs)}${wal === 'all' ? '; WAL of all of them' : ''}`;
}
