import { counted } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import type { ArchiverStatus } from '@keyframe/engine';
import { formatDuration, formatSize } from '../output/format.ts';

export const command: Command = defineCommand({
  name: 'wal status',
  summary: 'Show what the WAL archive holds, its gaps, and the newest recoverable moment',
  description:
    'Reads the repository, and the server too when it answers: its archiver, what waits in pg_wal and how fast that changes (measured over two seconds when something waits), and on the machine of the server the space left for it. Without the server the figures of the repository still stand.',
  examples: [{ run: 'keyframe wal status' }, { run: 'keyframe wal status --json' }],
  positionals: [],
  options: {},
  exits: { 0: 'no gap after any backup', 3: 'a gap cuts a backup off from what follows it', ...FAULT_EXITS },
  async run({ openApp, signal, log, progress }) {
    const { archiveAt, readArchiver, walStatus } = await import('@keyframe/engine');
    const { showEvents } = await import('../output/events.ts');
    const app = await openApp();
    const archive = await archiveAt(app.repository, app.clusterName, undefined, { signal });
    const { onEvent } = showEvents(progress, log);
    const status = await walStatus(archive, { signal, onEvent });
    const server = await readArchiver(await app.connectionTarget(), () => app.host.now().getTime(), { signal });
    return { exit: status.brokenBy.length > 0 ? 3 : 0, report: { cluster: app.clusterName, ...status, server } };
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
      ['last commit', newest?.commitTime],
      ['recoverable', recoverable(report.recoverableFrom)],
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

/** Some nights from now the labels would fill the screen. */
function recoverable(labels: readonly string[]): string {
  if (labels.length === 0) return 'no backup to recover from';
  if (labels.length <= 3) return `from ${labels.join(', ')}`;
  return `from ${counted(labels.length, 'backup')}, ${labels[0]} to ${labels.at(-1)}`;
}
