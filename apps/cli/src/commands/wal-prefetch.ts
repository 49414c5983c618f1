import { KeyframeError } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { letGarbageWait } from '../garbage.ts';
import { FETCH_OPTIONS, fetchContext } from './fetch-options.ts';

export const command: Command = defineCommand({
  name: 'wal prefetch',
  summary: 'Fetch ahead what recovery will ask for next; the wrapper of restore_command starts it',
  description: `Runs in the background while PostgreSQL replays, and ends by itself when nothing is left to fetch, when the recovery or the server ends, or when nothing was asked for in ten minutes. At most 32 files and 512 MiB wait at a time, and never more than a quarter of the free space; they lie in the spool in the data directory, outside pg_wal and outside every backup.

It never says that a file is absent: what it cannot fetch, PostgreSQL asks for by \`wal fetch\`, which tells why.`,
  examples: [{ run: 'keyframe restore --latest --to /srv/pg', note: 'writes a restore_command that uses it' }],
  positionals: [
    { name: 'file', description: 'the WAL segment behind which fetching begins' },
    { name: 'destination', description: 'as for `wal fetch`; nothing is written there' },
  ],
  options: FETCH_OPTIONS,
  exits: { 0: 'nothing is left to do', ...FAULT_EXITS },
  async run({ openApp, options, positionals, signal, cwd }) {
    const { fetchAhead } = await import('@keyframe/engine/wal');
    const { spool, spoolFor = '', last } = options;
    if (spool === undefined)
      throw new KeyframeError('INVALID_OPTION', 'wal prefetch needs --spool', {
        hint: 'Use the restore_command that `keyframe restore` writes: its wrapper starts this.',
      });
    letGarbageWait();
    const app = await openApp({ everyStore: true, withoutStores: options.withoutStore });
    const context = await fetchContext(app, options, { cwd, signal });
    const fetched = await fetchAhead(context, cwd, { after: positionals.file, last, spool, spoolFor, signal });
    return { exit: 0, report: { fetched } };
  },
  renderText({ fetched }, out) {
    out.line(`fetched ${fetched} ahead`);
  },
});
