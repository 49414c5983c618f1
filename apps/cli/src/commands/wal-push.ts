import { closeSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import type { AheadOptions, AheadReport, PushReport } from '@keyframe/engine/wal';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { letGarbageWait } from '../garbage.ts';

const MAX_AHEAD = 32;
/** A server that finishes segments more often than this keeps one process for all of them. */
const LINGER_MS = 5_000;

export const command: Command = defineCommand({
  name: 'wal push',
  summary: 'Archive one WAL file; PostgreSQL runs it as archive_command',
  description: `Ends with 0 only when the file is durable in the repository. The same file again, with the same bytes, is success; other bytes under the same name are refused and the file stays in pg_wal.

PostgreSQL reads the status: 0 lets it recycle the file, 1 to 125 makes it keep the file and try again.

As archive_command it is run by the wrapper keyframe-archive-command, which passes --spool: then the process goes on behind the answer, pushes what waits and what comes, and the wrapper answers for that later without starting Node.js. It ends when nothing has come for five seconds, with the first fault, and with the server.`,
  examples: [
    { run: 'keyframe setup', note: 'prints the exact archive_command' },
    { run: 'keyframe wal push pg_wal/000000010000000000000001', note: 'by hand, in the data directory' },
  ],
  positionals: [{ name: 'file', description: "path of the WAL file, '%p' in archive_command" }],
  options: {
    maxAhead: {
      kind: 'integer',
      flag: '--max-ahead',
      value: 'number',
      minimum: 0,
      description: 'with --spool: WAL files that are pushed before PostgreSQL asks for them; default 32',
    },
    spool: {
      kind: 'string',
      flag: '--spool',
      value: 'name',
      description:
        'directory, in the data directory, of what was pushed ahead; the wrapper keyframe-archive-command gives it and answers from it',
    },
    spoolFor: {
      kind: 'string',
      flag: '--spool-for',
      value: 'words',
      description: 'with --spool: the command that is answered from it; the wrapper gives its own words',
    },
    answerTo: {
      kind: 'integer',
      flag: '--answer-to',
      value: 'number',
      minimum: 3,
      description:
        'with --spool: open file to write the success to, which is then closed; the wrapper gives it and need not wait for the end',
    },
  },
  exits: {
    0: 'the file is durable in the repository',
    4: 'what the repository holds under this name is damaged',
    ...FAULT_EXITS,
  },
  async run({ openApp, options, positionals, signal, cwd }) {
    const { pushAhead, pushWal } = await import('@keyframe/engine/wal');
    const app = await openApp();
    await app.repository.identity({ signal });
    const history = app.repository.cluster(app.clusterName);
    const file = resolve(cwd, positionals.file);
    const { spool, spoolFor = '', maxAhead = MAX_AHEAD, answerTo } = options;
    const given = { spoolFor, maxAhead, signal, ...(answerTo === undefined ? {} : behind(answerTo)) };
    if (spool !== undefined) letGarbageWait();
    const report: AheadReport =
      spool === undefined
        ? { ...(await pushWal({ history }, file, { signal })), ahead: 0 }
        : await pushAhead({ history }, file, { spool, ...given });
    return { exit: 0, report };
  },
  renderText(report, out) {
    out.line(`${outcomeOf(report)}${report.ahead === 0 ? '' : ` and ${report.ahead} more that waited`}`);
  },
});

/** The command goes on when the wrapper has read that the file is durable. */
function behind(file: number): Pick<AheadOptions, 'lingerMs' | 'onArchived'> {
  return {
    lingerMs: LINGER_MS,
    onArchived: (report) => {
      writeSync(file, `${outcomeOf(report)}\n`);
      closeSync(file);
    },
  };
}

/** The shell wrapper believes a success only when it reads the word `archived`. */
function outcomeOf({ file, outcome }: PushReport): string {
  return outcome === 'archived' ? `archived ${file}` : `${file} was archived before`;
}
