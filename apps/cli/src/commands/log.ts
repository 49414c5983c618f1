import type { LogReport } from '@keyframe/engine';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { renderEntries } from '../output/log-entries.ts';

export const command: Command = defineCommand({
  name: 'log',
  summary: 'Show what transactions did and when: rows per table, definitions, and what deserves a look',
  description: `Read from the archived WAL alone: the server need not run, and knows nothing of it. Segments that were never looked into are indexed first; \`keyframe wal index\` does that ahead of time.

Rows are those of permanent tables. TRUNCATE and DROP leave no record of rows: they are told by the files and catalogue rows they change.
With "!" it says why something looks unusual: the share of the table it took, or many times what is usual there.`,
  examples: [
    { run: 'keyframe log --since "2h ago" --table customers', note: 'who touched that table' },
    { run: 'keyframe log --ddl --limit 20', note: 'the last changes of definitions' },
    { run: 'keyframe log --min-rows 1000 --json' },
  ],
  positionals: [],
  options: {
    since: {
      kind: 'string',
      flag: '--since',
      value: 'time',
      description: 'from that time on: "2026-11-24 14:00+01", "2h ago"',
    },
    until: { kind: 'string', flag: '--until', value: 'time', description: 'up to that time' },
    timeZone: {
      kind: 'string',
      flag: '--time-zone',
      value: 'zone',
      description: 'zone in which these are meant when they have no offset: Europe/Berlin, UTC',
    },
    table: {
      kind: 'string',
      flag: '--table',
      value: 'table',
      description: 'only what touched it: schema.table, or table in any schema; * for any letters',
    },
    minRows: {
      kind: 'integer',
      flag: '--min-rows',
      value: 'rows',
      minimum: 1,
      description: 'only transactions that changed so many rows of one table',
    },
    ddl: { kind: 'boolean', flag: '--ddl', description: 'only changes of definitions, TRUNCATE included' },
    xid: { kind: 'string', flag: '--xid', value: 'xid', description: 'only that transaction, whatever became of it' },
    epoch: {
      kind: 'integer',
      flag: '--epoch',
      value: 'number',
      minimum: 1,
      description: 'of an earlier database cluster under this name (initdb, pg_upgrade); default the newest',
    },
    timeline: {
      kind: 'integer',
      flag: '--timeline',
      value: 'id',
      minimum: 1,
      description: 'along that timeline; default the newest',
    },
    limit: {
      kind: 'integer',
      flag: '--limit',
      value: 'entries',
      minimum: 1,
      default: '200',
      description: 'the newest so many',
    },
    each: {
      kind: 'boolean',
      flag: '--each',
      description: 'transactions that are alike one by one too; reads that WAL again',
    },
    all: { kind: 'boolean', flag: '--all', description: 'also what was rolled back, or wrote nothing that has a name' },
  },
  exits: { 0: 'shown', 3: 'shown, but some of the WAL could not be read', ...FAULT_EXITS },
  async run({ openApp, options, signal, log, progress }) {
    const { archiveAt, describeLog, openIndexCache, parseLogRequest, readLog } = await import('@keyframe/engine');
    const { showEvents } = await import('../output/events.ts');
    const { localZone } = await import('../output/zone.ts');
    const app = await openApp();
    const request = parseLogRequest(options, { localZone: localZone(), now: app.host.now });
    const archive = await archiveAt(app.repository, app.clusterName, options.epoch, { signal });
    const epochs = await app.repository.cluster(app.clusterName).epochs({ signal });
    const shown = showEvents(progress, log);
    const { id } = await app.repository.identity({ signal });
    const cache = openIndexCache(app.stateDirectory, id, archive);
    const report = describeLog(await readLog(archive, { ...request, cache }, { signal, onEvent: shown.onEvent }));
    shown.finish();
    const otherEpochs = epochs.map(({ number }) => number).filter((number) => number !== report.epoch);
    return { exit: report.missingSegments > 0 ? 3 : 0, report: { cluster: app.clusterName, ...report, otherEpochs } };
  },
  renderText(report, out) {
    const left = [
      ...(report.omitted > 0 ? [`${report.omitted.toLocaleString('en')} earlier entries are left out`] : []),
      ...(report.passedSegments > 0
        ? [`${report.passedSegments.toLocaleString('en')} earlier segments were not looked into`]
        : []),
    ];
    if (left.length > 0) out.line(out.style('dim', `${left.join(', ')}: --limit, --until`));
    renderEntries(report.entries, out);
    if (report.entries.length === 0) out.line('nothing of that kind in the archived WAL');
    const range = report.from === undefined ? 'no WAL is archived' : `WAL ${report.from} to ${report.to}`;
    out.line();
    out.line(out.style('dim', `${range}, timeline ${report.timeline}. Counted: ${report.rowsCover}.`));
    for (const each of limitsOf(report)) out.line(out.style('dim', each));
    const suspect = report.entries.findLast(({ suspicious }) => suspicious.length > 0);
    if (suspect !== undefined)
      out.line(`What going back to just before the last marked one costs: keyframe plan --before-xid ${suspect.xid}`);
    if (report.missingSegments > 0)
      out.line(
        out.style('bad', `${report.missingSegments} segments could not be read whole: see \`keyframe wal verify\``),
      );
  },
});

/** What cannot be found here, and why. */
function limitsOf({ unnamed, otherEpochs }: LogReport & { readonly otherEpochs: readonly number[] }): string[] {
  const others = otherEpochs.map((number) => `--epoch ${number}`).join(', ');
  const known = others === '' ? [] : [`Other database clusters had this name, whose WAL is not in it: ${others}.`];
  if (unnamed === undefined) return known;
  const { before, tables } = unnamed;
  const stretch = before === undefined ? 'No backup has been taken' : `Up to ${before} no backup had been taken`;
  const tell =
    tables === 0
      ? 'all tables have their later names'
      : `${tables} ${tables === 1 ? 'table has' : 'tables have'} no name that --table could find: --table "relation *" does`;
  return [...known, `${stretch}, so definitions are not told, and ${tell}.`];
}
