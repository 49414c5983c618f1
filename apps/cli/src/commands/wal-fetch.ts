import { resolve } from 'node:path';
import { type Command, defineCommand } from '../command.ts';
import { FETCH_OPTIONS, fetchContext } from './fetch-options.ts';

const FETCHED = 0;
/** Private to the shell wrapper, which alone turns it into 1: Node itself exits 1 when it cannot even start the program. */
const NOT_IN_ARCHIVE = 64;
/** Above 125, and clear of the shell's 126 and 127 and of 128 + signal number. */
const FAILED = 200;

export const command: Command = defineCommand({
  name: 'wal fetch',
  summary: 'Fetch one WAL file; PostgreSQL runs it as restore_command, through its wrapper',
  description: `As restore_command it is run by the wrapper keyframe-restore-command, which passes --spool: then what recovery will ask for next is fetched in the background (see \`wal prefetch\`), and the wrapper answers for it later without starting Node.

PostgreSQL takes a status of 1 to 125 for "no such file", ends recovery and opens the database. So restore_command must always be the wrapper keyframe-restore-command: it turns only proven absence into 1 and everything else into 200, which stops recovery with nothing lost. \`keyframe restore\` writes it so.`,
  examples: [
    { run: 'keyframe wal fetch 000000010000000000000001 /tmp/segment', note: 'by hand; 64 says that there is none' },
  ],
  positionals: [
    { name: 'file', description: "name of the WAL file, '%f' in restore_command" },
    { name: 'destination', description: "where to put it, '%p' in restore_command" },
  ],
  options: FETCH_OPTIONS,
  exits: {
    [FETCHED]: 'the file is at <destination>, whole and verified',
    [NOT_IN_ARCHIVE]: 'the repository was reached and holds no such file',
    [FAILED]: 'anything else, bad arguments included',
  },
  async run({ openApp, options, positionals, signal, cwd }) {
    const { fetchWal, nextSegment, noteAsked } = await import('@keyframe/engine/wal');
    const app = await openApp({ everyStore: true, withoutStores: options.withoutStore });
    const context = await fetchContext(app, options, { cwd, signal });
    const { file, destination } = positionals;
    const outcome = await fetchWal(context, { name: file, destination: resolve(cwd, destination) }, { signal });
    const { spool, spoolFor = '' } = options;
    const mayGoAhead =
      outcome === 'fetched' && spool !== undefined && (await noteAsked(file, cwd, { spool, spoolFor }));
    const next = mayGoAhead ? await nextSegment(context, { after: file, last: options.last, signal }) : undefined;
    return { exit: outcome === 'fetched' ? FETCHED : NOT_IN_ARCHIVE, report: { file, outcome, next } };
  },
  // The shell wrapper starts the fetching ahead when it reads the last words.
  renderText({ file, outcome, next }, out) {
    out.line(outcome === 'absent' ? `${file} is not in the archive` : `fetched ${file}`);
    if (next !== undefined) out.line(`${next} can be fetched ahead`);
  },
  exitFor: () => FAILED,
});
