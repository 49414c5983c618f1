import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatDuration, formatSize } from '../output/format.ts';

export const command: Command = defineCommand({
  name: 'wal index',
  summary: 'Read archived WAL once and remember what its transactions did, for log and plan',
  description: `Reads every archived segment that is not indexed yet, checks the CRC of each record, and stores in the repository what the segments tell: transactions with their times, rows per table, dropped and truncated tables, names. \`keyframe log\` and \`keyframe plan\` read that, and index by themselves what is missing; run this from cron so that they need not.

It reads the content of WAL, so an encrypted repository must be readable from here. Stopped at any moment, it goes on there the next time.

An object of the index that is damaged is made anew when it is met. With --anew all of them are, whatever they say: that is what \`keyframe verify\` asks for when it finds that one tells something else than the WAL does.`,
  examples: [
    { run: 'keyframe wal index' },
    { run: 'keyframe wal index --timeline 2' },
    { run: 'keyframe wal index --anew' },
  ],
  positionals: [],
  options: {
    timeline: {
      flag: '--timeline',
      kind: 'integer',
      value: 'N',
      description: 'only this timeline (default: all)',
      minimum: 1,
    },
    anew: { flag: '--anew', kind: 'boolean', description: 'remove what is indexed first, and read all WAL again' },
  },
  exits: { 0: 'all that is archived is indexed', 4: 'WAL is damaged; the rest is indexed', ...FAULT_EXITS },
  async run({ openApp, options, signal, progress, log }) {
    const { archiveAt, indexWal, openIndexCache, trackersOf } = await import('@keyframe/engine');
    const { showEvents } = await import('../output/events.ts');
    const app = await openApp();
    const archive = await archiveAt(app.repository, app.clusterName, undefined, { signal });
    const { id } = await app.repository.identity({ signal });
    const cache = openIndexCache(app.stateDirectory, id, archive);
    const shown = showEvents(progress, log);
    const started = performance.now();
    try {
      if (options.anew) {
        const refs = await archive.index.list({ signal });
        const going = refs.filter(({ timeline }) => options.timeline === undefined || timeline === options.timeline);
        await archive.index.remove(going, { signal });
      }
      const report = await indexWal(archive, {
        signal,
        timeline: options.timeline,
        trackers: trackersOf(archive, { signal }),
        cache,
        onDamage: ({ message }) => log.warn(`${message}; it is made anew from the WAL`),
        onProgress: ({ segments, total, name }) =>
          shown.onEvent({ kind: 'index', segment: name, done: segments, total }),
      });
      await cache.prune(await archive.index.list({ signal }));
      const durationMs = Math.round(performance.now() - started);
      const exit = report.faults.length > 0 ? 4 : 0;
      return { exit, report: { cluster: app.clusterName, epoch: archive.epoch.number, ...report, durationMs } };
    } finally {
      shown.finish();
    }
  },
  renderText(report, out) {
    const { segments, objects, storedBytes, durationMs } = report;
    out.line(
      segments === 0
        ? 'everything that is archived is indexed already'
        : `indexed ${segments} segments in ${formatDuration(durationMs)}: ${objects} objects, ${formatSize(storedBytes)}`,
    );
    for (const { name, message } of report.faults) out.line(out.style('bad', `${name}: ${message}`));
  },
});
