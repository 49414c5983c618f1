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
    const archive = await archiveAt(app.repository, app.clusterName, undefined, { signal });
    const shown = showEvents(progress, log);
    const { id } = await app.repository.identity({ signal });
    const cache = openIndexCache(app.stateDirectory, id, archive);
    const report = describeLog(await readLog(archive, { ...request, cache }, { signal, onEvent: shown.onEvent }));
    shown.finish();
    return { exit: report.missingSegments > 0 ? 3 : 0, report: { cluster: app.clusterName, ...report } };
  },
  renderText(report, out) {
    if (report.omitted > 0)
      out.line(
        out.style('dim', `${report.omitted.toLocaleString('en')} earlier entries are left out: --limit, --since`),
      );
    renderEntries(report.entries, out);
    if (report.entries.length === 0) out.line('nothing of that kind in the archived WAL');
    const range = report.from === undefined ? 'no WAL is archived' : `WAL ${report.from} to ${report.to}`;
    out.line();
    out.line(out.style('dim', `${range}, timeline ${report.timeline}. Counted: ${report.rowsCover}.`));
    const suspect = report.entries.findLast(({ suspicious }) => suspicious.length > 0);
    if (suspect !== undefined)
      out.line(`What going back to just before the last marked one costs: keyframe plan --before-xid ${suspect.xid}`);
    if (report.missingSegments > 0)
      out.line(
        out.style('bad', `${report.missingSegments} segments could not be read whole: see \`keyframe wal verify\``),
      );
  },
});
