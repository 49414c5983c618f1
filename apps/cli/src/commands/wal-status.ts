import { counted, parseLsn } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import type { ArchiverStatus, WalStatus } from '@keyframe/engine';
import { formatDuration, formatSize } from '../output/format.ts';

export const command: Command = defineCommand({
  name: 'wal status',
  summary: 'Show what the WAL archive holds, its gaps, and the newest recoverable moment',
  description:
    'Reads the repository, and the server too when it answers: its archiver, what waits in pg_wal and how fast that changes (measured over two seconds when something waits), and on the machine of the server the space left for it. Without the server the figures of the repository still stand.',
  examples: [
    { run: 'keyframe wal status' },
    { run: 'keyframe wal status --rpo 5min', note: 'for a monitor: ends with 3 when more than that could be lost' },
  ],
  positionals: [],
  options: {
    rpo: {
      kind: 'duration',
      flag: '--rpo',
      value: 'duration',
      description: 'how old the newest recoverable moment may be, unless all that the server wrote can be recovered',
    },
  },
  exits: {
    0: 'no gap after any backup, and what can be recovered is as new as it must be',
    3: 'a gap cuts a backup off from what follows it, or the newest recoverable moment is older than --rpo',
    ...FAULT_EXITS,
  },
  async run({ openApp, signal, log, progress, options }) {
    const { archiveAt, readArchiver, walStatus } = await import('@keyframe/engine');
    const { showEvents } = await import('../output/events.ts');
    const app = await openApp();
    const archive = await archiveAt(app.repository, app.clusterName, undefined, { signal });
    const { onEvent } = showEvents(progress, log);
    const status = await walStatus(archive, { signal, onEvent });
    const server = await readArchiver(await app.connectionTarget(), () => app.host.now().getTime(), { signal });
    const exposure = exposureOf(status.recoverable, server, app.host.now(), options.rpo);
    const isWrong = status.brokenBy.length > 0 || exposure.isTooOld;
    return { exit: isWrong ? 3 : 0, report: { cluster: app.clusterName, ...status, ...exposure, server } };
  },
  renderText(report, out) {
    const { newest, server } = report;
    out.fields([
      ['cluster', `${report.cluster} (epoch ${report.epoch}, system identifier ${report.systemIdentifier})`],
      ['archive', `${counted(report.segments, 'segment')} of ${formatSize(report.segmentSizeBytes)}`],
      [
        'newest',
        newest === undefined
          ? 'nothing archived yet'
          : `${newest.segment}${streamedText(newest.streamedBytes)}, up to ${newest.lsn}`,
      ],
      ['recoverable', recoverable(report)],
      ['from', backups(report.recoverableFrom)],
      ['server', server.reachable ? undefined : `not asked: ${server.reason}`],
      [
        'last archived',
        server.reachable ? `${server.lastArchived ?? 'never'} ${server.lastArchivedAt ?? ''}` : undefined,
      ],
      ['last failure', server.reachable && server.failing ? `${server.lastFailed} ${server.lastFailedAt}` : undefined],
      ['waiting', server.reachable ? waiting(server) : undefined],
      ['pg_wal', server.reachable ? room(server.walSpace) : undefined],
    ]);
    out.line();
    out.table(
      ['timeline', 'forked', 'first', 'last', 'segments'],
      report.timelines.flatMap((each) =>
        each.ranges.map((range, index) => [
          index === 0 ? String(each.timeline) : '',
          index === 0 && each.forkedAt !== undefined ? `from ${each.forkedFrom} at ${each.forkedAt}` : '',
          range.first,
          range.last,
          String(range.segments),
        ]),
      ),
      { right: [0, 4] },
    );
    for (const { backup, gap } of report.brokenBy)
      out.line(
        out.style('bad', `gap: ${gap} is missing; from backup ${backup} nothing later than it can be recovered`),
      );
  },
});

type StatusReport = WalStatus & Exposure;
type Archiver = Extract<ArchiverStatus, { readonly reachable: true }>;

function waiting({ waiting: files, backlog }: Archiver): string | undefined {
  if (backlog === undefined) return files === undefined ? undefined : `${counted(files, 'file')} in pg_wal`;
  const { archivedFilesPerSecond, writtenBytesPerSecond, secondsToCatchUp } = backlog;
  const rates = `${archivedFilesPerSecond.toFixed(1)} archived and ${formatSize(writtenBytesPerSecond)} written a second`;
  const end =
    secondsToCatchUp === undefined ? 'it does not get less' : `caught up in ${formatDuration(secondsToCatchUp * 1000)}`;
  return `${counted(backlog.files, 'file')} (${formatSize(backlog.bytes)}) in pg_wal, ${rates}: ${end}`;
}

function room(space: Archiver['walSpace']): string | undefined {
  if (space === undefined) return undefined;
  const { freeBytes, hoursToFull } = space;
  const free = `${formatSize(freeBytes)} free`;
  if (hoursToFull === undefined) return free;
  const time = hoursToFull < 48 ? `${hoursToFull.toFixed(1)} hours` : `${Math.round(hoursToFull / 24)} days`;
  return `${free}, full in ${time} if nothing were archived from now on`;
}

/** Of the segment that is still being written. */
function streamedText(bytes: number | undefined): string {
  return bytes === undefined ? '' : ` (${formatSize(bytes)} of it streamed)`;
}

/** How old the newest moment is that can be recovered, and whether that is too old. */
interface Exposure {
  /** Since the last commit that can be recovered; 0 when the server wrote nothing since; absent where no commit is known. */
  readonly recoverableAgeSeconds: number | undefined;
  /** What `--rpo` said. */
  readonly rpoSeconds: number | undefined;
  readonly isTooOld: boolean;
}

/** Holds the newest recoverable moment against what it must be. */
export function exposureOf(
  moment: WalStatus['recoverable'],
  server: ArchiverStatus,
  now: Date,
  rpoMs: number | undefined,
): Exposure {
  const isAll =
    moment !== undefined &&
    moment.stoppedBy === undefined &&
    server.reachable &&
    server.currentLsn !== undefined &&
    parseLsn(server.currentLsn) <= parseLsn(moment.lsn);
  const committed = moment?.commitTime === undefined ? undefined : Date.parse(moment.commitTime);
  const since = committed === undefined ? undefined : Math.max(0, (now.getTime() - committed) / 1000);
  const recoverableAgeSeconds = isAll ? 0 : since === undefined ? undefined : Math.round(since);
  const rpoSeconds = rpoMs === undefined ? undefined : rpoMs / 1000;
  // What cannot be told is no better than what is too old.
  return {
    recoverableAgeSeconds,
    rpoSeconds,
    isTooOld: rpoSeconds !== undefined && (recoverableAgeSeconds ?? Infinity) > rpoSeconds,
  };
}

function recoverable({ recoverable: moment, recoverableAgeSeconds: age, rpoSeconds, isTooOld }: StatusReport): string {
  if (moment === undefined) return 'nothing: no backup has all of its WAL';
  const { commitTime, lsn, timeline, stoppedBy } = moment;
  const words = [
    commitTime === undefined ? `up to ${lsn}` : `up to the commit of ${commitTime}, LSN ${lsn}`,
    ` on timeline ${timeline}`,
    age === undefined ? '' : age === 0 ? ', all that the server wrote' : `, ${formatDuration(age * 1000)} ago`,
    isTooOld ? `: older than ${formatDuration((rpoSeconds ?? 0) * 1000)}` : '',
    stoppedBy === undefined ? '' : `; nothing behind ${stoppedBy}, which is missing or damaged`,
  ];
  return words.join('');
}

/** Some nights from now the labels would fill the screen. */
function backups(labels: readonly string[]): string {
  if (labels.length === 0) return 'no backup has all WAL up to the newest segment';
  if (labels.length <= 3) return labels.join(', ');
  return `${counted(labels.length, 'backup')}, ${labels[0]} to ${labels.at(-1)}`;
}
