import { lstat, readdir, readlink } from 'node:fs/promises';
import path from 'node:path';
import { hasCode, KeyframeError, parseLsn } from '@keyframe/contracts';
import type { ConnectionTarget } from '../connection/target.ts';
import { checkLabel } from '../replication/base-backup-command.ts';
import type { BackupStart, BackupTablespace } from '../replication/types.ts';
import { connectSql, type SqlSession } from '../sql/session.ts';
import { fileFault, isAbsent } from './file-fault.ts';
import { proveDirectory } from './identity.ts';
import { stopBackup } from './stop.ts';
import type { LocalBackup, LocalBackupEnd, LocalBackupOptions, LocalEntry, WalkOptions } from './types.ts';
import { type DataDirectory, walkDataDirectory } from './walk.ts';

/**
 * Starts a base backup that reads the data directory of a server on this machine. One session is held until the backup is
 * stopped or closed; the signal ends it, and with it the backup, whenever it aborts.
 * @throws {KeyframeError} WRONG_CLUSTER when the directory is not the connected server's, ACCESS_DENIED, NOT_FOUND,
 *   SERVER_ERROR, SERVER_UNREACHABLE, SERVER_REFUSED, SERVER_UNSUPPORTED, INVALID_OPTION
 * @see https://www.postgresql.org/docs/18/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP
 */
export async function openLocalBackup(
  target: ConnectionTarget,
  dataDirectory: string,
  options: LocalBackupOptions,
): Promise<LocalBackup> {
  checkLabel(options.label);
  const sql = await connectSql(target, { signal: options.signal });
  try {
    return await startBackup(sql, dataDirectory, options);
  } catch (error) {
    await sql.close();
    throw error;
  }
}

async function startBackup(
  sql: SqlSession,
  dataDirectory: string,
  { label, checkpoint, signal }: LocalBackupOptions,
): Promise<LocalBackup> {
  const major = Math.floor(sql.versionNumber / 10_000);
  if (major < 14)
    throw new KeyframeError('SERVER_UNSUPPORTED', `PostgreSQL ${major} is too old`, {
      hint: 'Use PostgreSQL 14 to 18; `show server_version` tells what runs.',
    });
  await liftLimits(sql, major);
  const { root, control } = await proveDirectory(sql, dataDirectory, { signal });
  const [standby] = await sql.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
  const call = major >= 15 ? 'pg_backup_start($1, $2)' : 'pg_start_backup($1, $2, false)';
  const [row] = await sql.query<{ lsn: string }>(`select ${call}::text as lsn`, [label, checkpoint === 'fast']);
  const [position] = await sql.query<{ timeline: string }>(
    'select timeline_id::text as timeline from pg_control_checkpoint()',
  );
  const start = { startLsn: parseLsn(row?.lsn ?? ''), timeline: Number(position?.timeline) };
  const place = {
    root,
    major,
    catalogVersion: control.catalogVersion,
    tablespaces: await findTablespaces(root, major),
    statsDirectory: major < 15 ? await statsDirectory(sql) : undefined,
  };
  const estimated = await estimate(place, { signal });
  return new OpenLocalBackup(sql, place, {
    start: { ...start, ...estimated },
    systemIdentifier: control.systemIdentifier,
    standby: standby?.standby === true,
  });
}

/** An idle session of hours is meant. The server would end it by any of these. */
async function liftLimits(sql: SqlSession, major: number): Promise<void> {
  const limits = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout'];
  if (major >= 17) limits.push('transaction_timeout');
  for (const name of limits) await sql.query(`set ${name} = 0`);
}

async function statsDirectory(sql: SqlSession): Promise<string | undefined> {
  try {
    const [row] = await sql.query<{ place: string; data: string }>(
      `select current_setting('stats_temp_directory') as place, current_setting('data_directory') as data`,
    );
    if (row === undefined) return undefined;
    return path.relative(row.data, path.resolve(row.data, row.place));
  } catch (error) {
    // The role may not see where; its files are then in the backup, and the server drops them when it starts.
    if (hasCode(error, 'SERVER_ERROR')) return undefined;
    throw error;
  }
}

/**
 * The tablespaces that PostgreSQL itself tells of: the links, and from 16 on directories in place of links, which are
 * part of the data directory like any other before.
 */
async function findTablespaces(
  root: string,
  major: number,
): Promise<readonly Omit<BackupTablespace, 'sizeEstimateBytes'>[]> {
  const home = path.join(root, 'pg_tblspc');
  const names = await readdir(home).catch((error: unknown) => {
    throw fileFault(error, home);
  });
  const found: Omit<BackupTablespace, 'sizeEstimateBytes'>[] = [];
  for (const name of names.filter((each) => /^[0-9]+$/.test(each)).toSorted((a, b) => Number(a) - Number(b))) {
    const link = path.join(home, name);
    try {
      const inPlace = (await lstat(link)).isDirectory();
      if (inPlace && major < 16) continue;
      found.push({ oid: Number(name), location: inPlace ? `pg_tblspc/${name}` : await readlink(link) });
    } catch (error) {
      if (!isAbsent(error)) throw fileFault(error, link);
    }
  }
  return found;
}

/** As BASE_BACKUP says before its first byte: what there is to read, by tablespace and in all. */
async function estimate(
  place: DataDirectory,
  options: WalkOptions,
): Promise<Pick<BackupStart, 'tablespaces' | 'totalEstimateBytes'>> {
  const sizes = new Map<string, bigint>();
  let totalEstimateBytes = 0n;
  for await (const { path: member, sizeBytes } of walkDataDirectory(place, options)) {
    const [top, oid = ''] = member.split('/', 2);
    totalEstimateBytes += BigInt(sizeBytes);
    if (top === 'pg_tblspc') sizes.set(oid, (sizes.get(oid) ?? 0n) + BigInt(sizeBytes));
  }
  const tablespaces = place.tablespaces.map(({ oid, location }) => ({
    oid,
    location,
    sizeEstimateBytes: sizes.get(String(oid)) ?? 0n,
  }));
  return { tablespaces, totalEstimateBytes };
}

type Facts = Pick<LocalBackup, 'start' | 'systemIdentifier' | 'standby'>;

class OpenLocalBackup implements LocalBackup {
  readonly start: BackupStart;
  readonly systemIdentifier: string;
  readonly dataDirectory: string;
  readonly standby: boolean;
  readonly lost: AbortSignal;
  readonly #sql: SqlSession;
  readonly #place: DataDirectory;

  constructor(sql: SqlSession, place: DataDirectory, { start, systemIdentifier, standby }: Facts) {
    this.#sql = sql;
    this.#place = place;
    this.lost = sql.lost;
    this.start = start;
    this.systemIdentifier = systemIdentifier;
    this.dataDirectory = place.root;
    this.standby = standby;
  }

  async *entries(options: WalkOptions = {}): AsyncGenerator<LocalEntry> {
    for await (const entry of walkDataDirectory(this.#place, options)) {
      this.#requireSession();
      yield entry;
    }
  }

  async stop(): Promise<LocalBackupEnd> {
    this.#requireSession();
    const end = await stopBackup(this.#sql, this.start, this.standby);
    await this.close();
    return end;
  }

  #requireSession(): void {
    if (!this.lost.aborted) return;
    const { reason } = this.lost;
    if (!hasCode(reason, 'SERVER_UNREACHABLE', 'SERVER_ERROR')) throw reason;
    throw new KeyframeError('SERVER_UNREACHABLE', 'the session that held the backup is gone, and so is the backup', {
      cause: reason,
      hint: 'Look into the server log (`select pg_current_logfile()`), then run `keyframe backup` again.',
    });
  }

  /** The server gives up a backup whose session ends. */
  close(): Promise<void> {
    return this.#sql.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
