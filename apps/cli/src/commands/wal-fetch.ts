import { resolve } from 'node:path';
import { type Command, defineCommand } from '../command.ts';

const FETCHED = 0;
/** Private to the shell wrapper, which alone turns it into 1: Node itself exits 1 when it cannot even start the program. */
const NOT_IN_ARCHIVE = 64;
/** Above 125, and clear of the shell's 126 and 127 and of 128 + signal number. */
const FAILED = 200;

export const command: Command = defineCommand({
  name: 'wal fetch',
  summary: 'Fetch one WAL file; PostgreSQL runs it as restore_command, through its wrapper',
  description: `PostgreSQL takes a status of 1 to 125 for "no such file", ends recovery and opens the database. So restore_command must always be the wrapper keyframe-restore-command: it turns only proven absence into 1 and everything else into 200, which stops recovery with nothing lost. \`keyframe restore\` writes it so.`,
  examples: [
    { run: 'keyframe wal fetch 000000010000000000000001 /tmp/segment', note: 'by hand; 64 says that there is none' },
  ],
  positionals: [
    { name: 'file', description: "name of the WAL file, '%f' in restore_command" },
    { name: 'destination', description: "where to put it, '%p' in restore_command" },
  ],
  options: {
    epoch: {
      kind: 'integer',
      flag: '--epoch',
      value: 'number',
      minimum: 1,
      description: 'epoch of the cluster; default that of the data directory it runs in, else the newest',
    },
    frozen: {
      kind: 'string',
      flag: '--frozen',
      value: 'inventory',
      description: 'what the archive held when the recovery was planned: a file of it that is gone is a fault',
    },
    withoutStore: {
      kind: 'repeatable',
      flag: '--without-store',
      value: 'name',
      description: 'what every other store of the repository lacks is absent; repeatable',
    },
  },
  exits: {
    [FETCHED]: 'the file is at <destination>, whole and verified',
    [NOT_IN_ARCHIVE]: 'the repository was reached and holds no such file',
    [FAILED]: 'anything else, bad arguments included',
  },
  async run({ openApp, options, positionals, signal, cwd }) {
    const { archiveAt, fetchWal, ownArchive } = await import('@keyframe/engine/wal');
    const app = await openApp({ everyStore: true, withoutStores: options.withoutStore });
    const { repository, clusterName } = app;
    const archive =
      options.epoch === undefined
        ? await ownArchive(repository, clusterName, cwd, { signal })
        : await archiveAt(repository, clusterName, options.epoch, { signal });
    const outcome = await fetchWal(
      {
        repository,
        archive,
        frozen: options.frozen,
      },
      { name: positionals.file, destination: resolve(cwd, positionals.destination) },
      { signal },
    );
    return { exit: outcome === 'fetched' ? FETCHED : NOT_IN_ARCHIVE, report: { file: positionals.file, outcome } };
  },
  exitFor: () => FAILED,
});
