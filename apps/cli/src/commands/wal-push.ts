import { resolve } from 'node:path';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'wal push',
  summary: 'Archive one WAL file; PostgreSQL runs it as archive_command',
  description: `Ends with 0 only when the file is durable in the repository. The same file again, with the same bytes, is success; other bytes under the same name are refused and the file stays in pg_wal.

PostgreSQL reads the status: 0 lets it recycle the file, 1 to 125 makes it keep the file and try again.`,
  examples: [
    { run: 'keyframe setup', note: 'prints the exact archive_command' },
    { run: 'keyframe wal push pg_wal/000000010000000000000001', note: 'by hand, in the data directory' },
  ],
  positionals: [{ name: 'file', description: "path of the WAL file, '%p' in archive_command" }],
  options: {},
  exits: {
    0: 'the file is durable in the repository',
    4: 'what the repository holds under this name is damaged',
    ...FAULT_EXITS,
  },
  async run({ openApp, positionals, signal, cwd }) {
    const { pushWal } = await import('@keyframe/engine/wal');
    const app = await openApp();
    await app.repository.identity({ signal });
    const history = app.repository.cluster(app.clusterName);
    return { exit: 0, report: await pushWal({ history }, resolve(cwd, positionals.file), { signal }) };
  },
  // The shell wrapper believes a success only when it reads this word.
  renderText({ file, outcome }, out) {
    out.line(outcome === 'archived' ? `archived ${file}` : `${file} was archived before`);
  },
});
