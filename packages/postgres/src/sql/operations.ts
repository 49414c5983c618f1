/** Small things Keyframe asks a running server to do. @packageDocumentation */
import { KeyframeError, type Lsn, parseLsn } from '@keyframe/contracts';
import type { SqlSession } from './session.ts';

interface Position {
  readonly lsn: string | null;
}

async function position(sql: SqlSession, text: string, params: readonly unknown[] = []): Promise<Lsn> {
  const [row] = await sql.query<Position>(text, params);
  if (typeof row?.lsn !== 'string')
    throw new KeyframeError('SERVER_ERROR', 'the server gave no WAL position', {
      hint: 'Check with `select pg_is_in_recovery()` that this server has replayed WAL.',
    });
  return parseLsn(row.lsn);
}

/** Write position of a primary, replay position of a standby. */
export async function currentLsn(sql: SqlSession): Promise<Lsn> {
  return position(
    sql,
    'select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end)::text as lsn',
  );
}

/**
 * Ends the current WAL segment, so that it is archived. Does nothing on a segment without activity: emit a message first.
 * @returns the end of the WAL written so far
 */
export async function switchWal(sql: SqlSession): Promise<Lsn> {
  return position(sql, 'select pg_switch_wal()::text as lsn');
}

/** How a message is written. */
export interface EmitMessageOptions {
  /** As a transaction of its own: leaves a commit record with a time, durable when this resolves. Default false. */
  readonly transactional?: boolean | undefined;
}

/** Writes a small WAL record that changes nothing. Needs no extension. */
export async function emitMessage(sql: SqlSession, content: string, options: EmitMessageOptions = {}): Promise<Lsn> {
  const parameters = [options.transactional === true, content];
  return position(sql, `select pg_logical_emit_message($1::boolean, 'keyframe', $2::text)::text as lsn`, parameters);
}

/** A named recovery target at the current position. Names are 1 to 63 bytes and need not be unique. */
export async function createRestorePoint(sql: SqlSession, name: string): Promise<Lsn> {
  return position(sql, 'select pg_create_restore_point($1::text)::text as lsn', [name]);
}

/** The server's clock at this moment, Unix milliseconds with microseconds as fraction. */
export async function readServerClock(sql: SqlSession): Promise<number> {
  const [row] = await sql.query<{ clock: string }>(
    'select (extract(epoch from clock_timestamp()) * 1000)::float8::text as clock',
  );
  return Number(row?.clock ?? Number.NaN);
}

/** How far a recovering server is. */
export interface RecoveryProbe {
  readonly replayLsn: Lsn | undefined;
  /** Stopped at its recovery target, waiting for pg_wal_replay_resume(). */
  readonly paused: boolean;
}

/** Asks a hot standby how far it is; `undefined` once it has been promoted. */
export async function probeRecovery(sql: SqlSession): Promise<RecoveryProbe | undefined> {
  const [row] = await sql.query<{ recovering: boolean; lsn: string | null; paused: boolean | null }>(
    `select pg_is_in_recovery() as recovering, pg_last_wal_replay_lsn()::text as lsn,
            case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() = 'paused' end as paused`,
  );
  if (row?.recovering !== true) return undefined;
  return { replayLsn: row.lsn === null ? undefined : parseLsn(row.lsn), paused: row.paused === true };
}
