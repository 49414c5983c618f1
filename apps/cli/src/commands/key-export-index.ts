import { KeyframeError } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'key export-index',
  summary: 'Write the index keys to a file, for a host that shall write and not read',
  description: `With the index key and public keys a host takes backups, increments included, and archives WAL. It can read which files a backup has, of which sizes, and recognise content that it knows; it cannot read a page.

The file is for the owner only. Bring it to that host by a safe way and name it there:

    indexKey: "\${file:/etc/keyframe/index.key}"`,
  examples: [{ run: 'keyframe key export-index --to /etc/keyframe/index.key' }],
  positionals: [],
  options: {
    to: {
      kind: 'string',
      flag: '--to',
      value: 'file',
      required: true,
      description: 'where to write them; an existing file is never replaced',
    },
  },
  exits: { 0: 'written', 4: 'what is there is damaged', ...FAULT_EXITS },
  async run({ openApp, options, cwd, signal }) {
    const [{ writeFile }, path] = await Promise.all([import('node:fs/promises'), import('node:path')]);
    const app = await openApp();
    const file = path.resolve(cwd, options.to);
    await app.repository.identity({ signal });
    const text = await app.repository.keys.exportIndex({ signal });
    try {
      await writeFile(file, text.reveal(), { mode: 0o600, flag: 'wx' });
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      throw new KeyframeError('ALREADY_EXISTS', `${file} is there already`, {
        cause: error,
        hint: 'Give --to another name, or remove the file first.',
        details: { file },
      });
    }
    return { exit: 0, report: { repository: app.repositoryName, file } };
  },
  renderText({ file }, out) {
    out.line(`${out.style('good', 'written')}: ${file}`);
    out.line();
    out.line('In the config file of the host that only writes:');
    out.line();
    out.line(`      indexKey: "\${file:${file}}"`);
  },
});
