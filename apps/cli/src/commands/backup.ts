import { counted, KeyframeError } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { describeBackup, formatDamage } from '../output/backup-report.ts';
import { formatDuration, formatSize } from '../output/format.ts';
import { formatRenewed } from '../output/known-damage.ts';

export const command: Command = defineCommand({
  name: 'backup',
  summary: 'Take a base backup of the running database cluster',
  description: `Reads the cluster, tablespaces included, and stores in the repository what it does not hold yet.

The first backup is a full one. Later ones build on the newest backup that fits: pages that did not change since are taken over from it, yet every backup is complete by itself, and its restore reads none of the others' records. \`--type full\` reads and compares everything anew.

The server sends its files over the replication protocol; PostgreSQL 17 and newer with summarize_wal = on sends only changed blocks. \`--from local\` reads the files of this machine instead, several side by side.

The backup counts only when every WAL segment from its start to its stop is in the repository too, so archive_command must work. Interrupted, it leaves nothing that is listed, and the next run needs no repair: what was stored is not stored again, and with \`--from local\` not read again where the WAL proves it unchanged. Only one backup of a cluster runs at a time.

With data checksums on, every page that is read is verified. One that is damaged, also when it is read again, is named in the backup, which then ends with 3: restore an earlier backup beside it to see what the page held.`,
  examples: [
    { run: 'keyframe backup', note: 'start at once with a fast checkpoint' },
    { run: 'keyframe backup --type full', note: 'read everything anew, for instance once a week' },
    { run: 'keyframe backup --from local --workers 8', note: 'on the host of the database' },
    { run: 'keyframe backup --new-epoch', note: 'the first one after pg_upgrade' },
    { run: 'keyframe backup --checkpoint spread --max-rate 50MiB', note: 'gentle on a busy server' },
  ],
  positionals: [],
  options: {
    type: {
      kind: 'string',
      flag: '--type',
      value: 'type',
      choices: ['auto', 'full', 'incremental'],
      default: 'auto',
      description: 'auto builds on an earlier backup where one fits; incremental refuses where none does',
    },
    from: {
      kind: 'string',
      flag: '--from',
      value: 'reader',
      choices: ['stream', 'local'],
      default: 'stream',
      description: 'read from the server, or local: from source.dataDirectory on this machine',
    },
    workers: {
      kind: 'integer',
      flag: '--workers',
      value: 'number',
      minimum: 1,
      maximum: 16,
      description: 'files read side by side with --from local, 1 to 16 (default: as many as processors, at most 4)',
    },
    memory: {
      kind: 'size',
      flag: '--memory',
      value: 'size',
      minimum: 16 << 20,
      maximum: 16 * 2 ** 30,
      description:
        'memory for what is on its way to the store, at least 16MiB (default: 160MiB); less makes smaller packs',
    },
    noReuse: {
      kind: 'boolean',
      flag: '--no-reuse',
      description: 'store everything anew, also what the repository holds already',
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
      description: 'most bytes per second that are read, 32KiB to 1GiB (default: maxRate of the config file)',
    },
  },
  exits: {
    0: 'the backup is in the repository with all the WAL it needs',
    3: 'the backup is in the repository, and pages of the cluster are damaged',
    5: 'another backup of this cluster is running',
    ...FAULT_EXITS,
  },
  async run({ openApp, options, signal, progress, log }) {
    if (options.workers !== undefined && options.from !== 'local')
      throw new KeyframeError('INVALID_OPTION', '--workers has no meaning with --from stream', {
        hint: 'Give --from local, or leave --workers out: the server sends its files one after the other.',
      });
    const { takeBackup, thisProcess, isHolderAlive } = await import('@keyframe/engine/backup');
    const { showEvents } = await import('../output/events.ts');
    const { availableParallelism } = await import('node:os');
    const { expectedArchiving } = await import('../expected-archiving.ts');
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
          dataDirectory: app.cluster.source.dataDirectory,
          holder: await thisProcess('keyframe backup'),
          isHolderAlive,
          now: app.host.now,
          walTimeoutMs: app.cluster.walTimeoutMs,
          archiving: expectedArchiving(app),
          immutableMs: app.immutableMs,
          tool: `keyframe ${VERSION}`,
        },
        {
          checkpoint: options.checkpoint,
          type: options.type,
          from: options.from,
          workers: options.workers ?? Math.min(4, availableParallelism()),
          reuse: !options.noReuse,
          memoryBytes: options.memory,
          newEpoch: options.newEpoch,
          maxRateKiB: maxRateBytes === undefined ? undefined : Math.max(32, Math.floor(maxRateBytes / 1024)),
        },
        { signal, onEvent: shown.onEvent },
      );
      const exit = (record.damagedPageCount ?? 0) > 0 ? 3 : 0;
      return { exit, report: { ...describeBackup(record), durationMs: Math.round(performance.now() - started) } };
    } finally {
      shown.finish();
    }
  },
  renderText(report, out) {
    const damage = formatDamage(report);
    out.line(`${out.style('good', 'backup')} ${out.style('strong', report.label)} is in the repository`);
    if (damage !== undefined) out.line(`${out.style('bad', 'damaged')}: ${damage}`);
    out.fields([
      [
        'size',
        `${formatSize(report.sizeBytes)} in ${counted(report.files, 'file')}, stored ${formatSize(report.storedBytes)}`,
      ],
      ...(report.reusedBytes === 0
        ? []
        : [['reused', `${formatSize(report.reusedBytes)} of earlier backups`] as const]),
      ...(report.unreadBytes === undefined
        ? []
        : [['skipped by resume', `${formatSize(report.unreadBytes)} that an interrupted backup had stored`] as const]),
      ['healed', formatRenewed(report)],
      ['WAL', `${report.startLsn} to ${report.stopLsn} on timeline ${report.timeline}, all archived`],
      ['took', formatDuration(report.durationMs)],
    ]);
  },
});
