/** A replication slot and its receiver, as SQL tells of them. @packageDocumentation */
import { type Lsn, parseLsn } from '@keyframe/contracts';
import type { SqlSession } from './session.ts';

/** How a slot stands. @see https://www.postgresql.org/docs/18/view-pg-replication-slots.html */
export interface SlotState {
  readonly physical: boolean;
  readonly active: boolean;
  readonly restartLsn: Lsn | undefined;
  /** `reserved`, `extended`, `unreserved` or `lost`; undefined while nothing is reserved. */
  readonly walStatus: string | undefined;
  /** Bytes that can still be written before the slot may be lost; undefined without a limit. */
  readonly safeWalBytes: number | undefined;
  /** Bytes of WAL that the slot keeps; undefined on a standby. */
  readonly keptBytes: number | undefined;
}

interface SlotRow {
  readonly physical: boolean;
  readonly active: boolean;
  readonly restart_lsn: string | null;
  readonly wal_status: string | null;
  readonly safe_wal_size: string | null;
  readonly kept: string | null;
}

const SLOT = `select slot_type = 'physical' as physical, active, restart_lsn::text, wal_status, safe_wal_size::text,
  case when not pg_is_in_recovery() then pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text end as kept
  from pg_replication_slots where slot_name = $1`;

/** `undefined` when the server has no such slot. */
export async function readSlotState(sql: SqlSession, name: string): Promise<SlotState | undefined> {
  const [row] = await sql.query<SlotRow>(SLOT, [name]);
  if (row === undefined) return undefined;
  const number = (text: string | null): number | undefined => (text === null ? undefined : Number(text));
  return {
    physical: row.physical,
    active: row.active,
    restartLsn: row.restart_lsn === null ? undefined : parseLsn(row.restart_lsn),
    walStatus: row.wal_status ?? undefined,
    safeWalBytes: number(row.safe_wal_size),
    keptBytes: number(row.kept),
  };
}

/** What makes commits wait, and for what. */
export interface SynchronousSettings {
  readonly standbyNames: string;
  /** Of `synchronous_commit`, the server's value and those of databases and roles that have one of their own. */
  readonly commitValues: readonly string[];
  /** `sync`, `quorum`, `potential` or `async` of the receiver of that name; undefined while it is not connected. */
  readonly syncState: string | undefined;
}

const COMMIT_VALUES = `select distinct value from (
  select current_setting('synchronous_commit') as value
  union all select split_part(each, '=', 2) from pg_db_role_setting, unnest(setconfig) each
  where each like 'synchronous_commit=%') as settings`;

/** How the server waits for standbys, and whether a receiver is one of them. */
export async function readSynchronousSettings(sql: SqlSession, applicationName: string): Promise<SynchronousSettings> {
  const [names] = await sql.query<{ names: string }>(`select current_setting('synchronous_standby_names') as names`);
  const values = await sql.query<{ value: string }>(COMMIT_VALUES);
  const [state] = await sql.query<{ sync_state: string }>(
    `select sync_state from pg_stat_replication where application_name = $1 and sync_state is not null
     order by sync_state desc limit 1`,
    [applicationName],
  );
  return {
    standbyNames: names?.names ?? '',
    commitValues: values.map(({ value }) => value),
    syncState: state?.sync_state,
  };
}
