/**
 * Stand-ins for configuration files that the origin keeps outside its data directory, as Debian does: a backup holds none of
 * them, and PostgreSQL does not start without two.
 * @packageDocumentation
 */
import { lstat, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ControlData, readControlFile } from '@keyframe/postgres';
import { CONTROL_PENDING } from './entry-places.ts';

/** First line of each; it tells them from an administrator's own. */
const STAND_IN_MARK =
  '# Written by `keyframe restore`: the origin keeps its own outside the data directory, so the backup has none.';

/** A hot standby does not replay with less of these than its primary had. */
const configurationOf = (control: ControlData): string => `${STAND_IN_MARK}
# Enough to recover and look. Before production bring over the settings of the origin's postgresql.conf; data_directory,
# hba_file and ident_file in it name the origin, so leave them out.
max_connections = ${control.maxConnections}
max_worker_processes = ${control.maxWorkerProcesses}
max_wal_senders = ${control.maxWalSenders}
max_prepared_transactions = ${control.maxPreparedTransactions}
max_locks_per_transaction = ${control.maxLocksPerTransaction}
`;

const ACCESS = `${STAND_IN_MARK}
# Users of this system as the roles of the same name, and nobody else. Before production bring over the origin's.
local  all  all  peer
`;

/**
 * Writes postgresql.conf and pg_hba.conf where they are missing, before `global/pg_control` has its own name.
 * @returns the names of those it wrote
 */
export async function writeStandIns(directory: string): Promise<readonly string[]> {
  const written: string[] = [];
  const write = async (name: string, content: () => string | Promise<string>): Promise<void> => {
    if (await exists(join(directory, name))) return;
    await writeFile(join(directory, name), await content(), { mode: 0o600, flush: true, flag: 'wx' });
    written.push(name);
  };
  await write('postgresql.conf', async () =>
    configurationOf(readControlFile(await readFile(join(directory, CONTROL_PENDING)))),
  );
  await write('pg_hba.conf', () => ACCESS);
  return written;
}

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
