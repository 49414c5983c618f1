import { resolve } from 'node:path';
import type { AheadReport } from '@keyframe/engine/wal';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

/** About half a GiB of WAL of the usual segments a process: its start no longer counts. */
const MAX_AHEAD = 32;

export const command: Command = defineCommand({
  name: 'wal push',
  summary: 'Archive one WAL file; PostgreSQL runs it as archive_command',
  description: `Ends with 0 only when the file is durable in the repository. The same file again, with the same bytes, is success; other bytes under the same name are refused and the file stays in pg_wal.

PostgreSQL reads the status: 0 lets it recycle the file, 1 to 125 makes it keep the file and try again.

As archive_command it is run by the wrapper keyframe-archive-command, which passes --spool: then the files that already wait are pushed too, and the wrapper answers for them later without starting Node.js.`,
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
      description: 'with --spool: WAL files pushed beside the one asked for, of those that wait; default 32',
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
    const { spool, spoolFor = '', maxAhead = MAX_AHEAD } = options;
    const report: AheadReport =
      spool === undefined
        ? { ...(await pushWal({ history }, file, { signal })), ahead: 0 }
        : await pushAhead({ history }, file, { spool, spoolFor, maxAhead, signal });
    return { exit: 0, report };
  },
  // The shell wrapper believes a success only when it reads this word.
  renderText({ file, outcome, ahead }, out) {
    const more = ahead === 0 ? '' : ` and ${ahead} more that wait`;
    out.line(outcome === 'archived' ? `archived ${file}${more}` : `${file} was archived before${more}`);
  },
});
