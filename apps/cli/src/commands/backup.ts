import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatDuration, formatSize } from '../output/format.ts';

export const command: Command = defineCommand({
  name: 'backup',
  summary: 'Take a full base backup of the running database cluster',
  description: `Reads the whole cluster over the replication protocol, tablespaces included, and stores it in the repository.

The backup counts only when every WAL segment from its start to its stop is in the repository too, so archive_command must work. Interrupted, it leaves nothing that is listed, and the next run needs no repair. Only one backup of a cluster runs at a time.`,
  examples: [
    { run: 'keyframe backup', note: 'start at once with a fast checkpoint' },
    { run: 'keyframe backup --new-epoch', note: 'the first one after pg_upgrade' },
    { run: 'keyframe backup --checkpoint spread --max-rate 50MiB', note: 'gentle on a busy server' },
  ],
  positionals: [],
  options: {
    type: {
      kind: 'string',
      flag: '--type',
      value: 'type',
      choices: ['auto', 'full'],
      default: 'auto',
      description: 'what to take; auto takes a full backup in this version',
    },
    from: {
      kind: 'string',
      flag: '--from',
      value: 'reader',
      choices: ['stream'],
      default: 'stream',
      description: 'how to read the cluster',
    },
    newEpoch: {
      kind: 'boolean',
      flag: '--new-epoch',
      description: 'after pg_upgrade: accept the new system identifier as the continuation of this cluster',
    },
    checkpoint: {
      kind: 'string',
      flag: '--checkpoint',
      value: 'mode',
      choices: ['fast', 'spread'],
      default: 'fast',
      description: 'begin with an immediate checkpoint, or wait for a spread one',
    },
    maxRate: {
      kind: 'size',
      flag: '--max-rate',
      value: 'size',
      minimum: 32 << 10,
      maximum: 1 << 30,
      description: 'most bytes per second the server sends, 32KiB to 1GiB (default: maxRate of the config file)',
    },
  },
  exits: {
    0: 'the backup is in the repository with all the WAL it needs',
    5: 'another backup of this cluster is running',
    ...FAULT_EXITS,
  },
  async run({ openApp, options, signal, progress, log }) {
    const { takeBackup, thisProcess, isHolderAlive } = await import('@keyframe/engine');
    const { showEvents } = await import('../output/events.ts');
    const { VERSION } = await import('../version.ts');
    const app = await openApp();
    const target = await app.connectionTarget();
    const maxRateBytes = options.maxRate ?? app.cluster.maxRateBytes;
    const shown = showEvents(progress, log);
    const started = performance.now();
    try {
      const record = await takeBackup(
        {
          repository: app.repository,
          clusterName: app.clusterName,
          history: app.repository.cluster(app.clusterName),
          target,
          holder: await thisProcess('keyframe backup'),
          isHolderAlive,
          now: app.host.now,
          walTimeoutMs: app.cluster.walTimeoutMs,
          tool: `keyframe ${VERSION}`,
        },
        {
          checkpoint: options.checkpoint,
          newEpoch: options.newEpoch,
          maxRateKiB: maxRateBytes === undefined ? undefined : Math.max(32, Math.floor(maxRateBytes / 1024)),
        },
        { signal, onEvent: shown.onEvent },
      );
      const { describeBackup } = await import('../output/backup-report.ts');
      return { exit: 0, report: { ...describeBackup(record), durationMs: Math.round(performance.now() - started) } };
    } finally {
      shown.finish();
    }
  },
  renderText(report, out) {
    out.line(`${out.style('good', 'backup')} ${out.style('strong', report.label)} is in the repository`);
    out.fields([
      ['size', `${formatSize(report.sizeBytes)} in ${report.files} files, stored ${formatSize(report.storedBytes)}`],
      ['WAL', `${report.startLsn} to ${report.stopLsn} on timeline ${report.timeline}, all archived`],
      ['took', formatDuration(report.durationMs)],
    ]);
  },
});
