/**
 * Reads a server's facts through plain SQL. One query a topic: what the role may not read costs that topic alone.
 * @packageDocumentation
 */
import { type Abortable, hasCode, type Lsn, parseLsn } from '@keyframe/contracts';
import type {
  ArchiverFacts,
  RoleFacts,
  ServerFacts,
  SettingFact,
  SlotFact,
  TablespaceFact,
  WalFacts,
} from './facts.ts';
import type { SqlSession } from './session.ts';

/** Text of the server's answer; SQL null is `null`. */
type Row = Readonly<Record<string, string | null>>;

/** How a server is inspected. */
export interface InspectOptions extends Abortable {
  /** Our clock in Unix milliseconds, to compare the server's with. */
  readonly now: () => number;
}

/**
 * Facts of the server behind a session.
 * @throws {KeyframeError} SERVER_UNREACHABLE, SERVER_ERROR
 */
export async function inspectServer(sql: SqlSession, { now }: InspectOptions): Promise<ServerFacts> {
  const settings = await readSettings(sql);
  const setting = (name: string): string | undefined => settings.get(name)?.value;
  const flag = (name: string): boolean | undefined => booleanOf(setting(name));
  const count = (name: string): number | undefined => numberOf(setting(name));
  const inRecovery = (await one(sql, 'select pg_is_in_recovery()::text as value'))?.['value'] === 'true';
  return {
    versionNumber: sql.versionNumber,
    major: Math.trunc(sql.versionNumber / 10_000),
    versionText: setting('server_version') ?? String(sql.versionNumber),
    systemIdentifier: await systemIdentifier(sql),
    inRecovery,
    ...(await readPosition(sql, inRecovery)),
    walSegmentSizeBytes: bytesOf(settings.get('wal_segment_size')),
    dataDirectory: setting('data_directory'),
    configFile: setting('config_file'),
    hbaFile: setting('hba_file'),
    walLevel: setting('wal_level'),
    archiveMode: setting('archive_mode'),
    archiveCommand: setting('archive_command'),
    archiveLibrary: setting('archive_library'),
    archiveTimeoutSeconds: count('archive_timeout'),
    maxWalSenders: count('max_wal_senders'),
    usedWalSenders: numberOf(
      (await optional(sql, 'select count(*)::text as value from pg_stat_replication'))?.['value'],
    ),
    keyframeReceivers: numberOf((await optional(sql, RECEIVERS))?.['value']),
    maxReplicationSlots: count('max_replication_slots'),
    slots: await readSlots(sql),
    fullPageWrites: flag('full_page_writes'),
    fsync: flag('fsync'),
    dataChecksums: flag('data_checksums'),
    hotStandby: flag('hot_standby'),
    walCompression: setting('wal_compression'),
    synchronousStandbyNames: setting('synchronous_standby_names'),
    timeZone: setting('TimeZone'),
    ...(await readClock(sql, now)),
    role: await readRole(sql),
    archiver: await readArchiver(sql),
    wal: await readWal(sql),
    tablespaces: await readTablespaces(sql),
    ...(await readDatabases(sql)),
    settings,
  };
}

/** Without pg_monitor all but the process id of other roles' rows is null. */
const RECEIVERS = `select count(*)::text as value from pg_stat_replication
  where coalesce(application_name, 'keyframe') like 'keyframe%' and coalesce(state, 'streaming') in ('streaming', 'catchup')`;

async function one(sql: SqlSession, text: string): Promise<Row | undefined> {
  return (await sql.query<Row>(text))[0];
}

/** No right (42501), or an older server without that function, view or column: this topic is not for us. */
const NOT_FOR_US: ReadonlySet<unknown> = new Set(['42501', '42883', '42P01', '42703']);

async function rowsOrUndefined(sql: SqlSession, text: string): Promise<readonly Row[] | undefined> {
  try {
    return await sql.query<Row>(text);
  } catch (error) {
    if (hasCode(error, 'SERVER_ERROR') && NOT_FOR_US.has(error.details['sqlstate'])) return undefined;
    throw error;
  }
}

async function optional(sql: SqlSession, text: string): Promise<Row | undefined> {
  return (await rowsOrUndefined(sql, text))?.[0];
}

/** pg_settings leaves out what this role may not see. reset_val is the session's start value, whatever we SET since. */
async function readSettings(sql: SqlSession): Promise<ReadonlyMap<string, SettingFact>> {
  const rows = await sql.query<Row>(
    'select name, coalesce(reset_val, setting) as value, unit, source, pending_restart::text as pending from pg_settings',
  );
  return new Map(
    rows.map((row) => [
      row['name'] ?? '',
      {
        value: row['value'] ?? '',
        unit: row['unit'] ?? undefined,
        source: row['source'] ?? 'default',
        pendingRestart: row['pending'] === 'true',
      },
    ]),
  );
}

async function systemIdentifier(sql: SqlSession): Promise<string | undefined> {
  const row = await optional(sql, 'select system_identifier::text as value from pg_control_system()');
  const value = row?.['value'];
  // The function returns a signed bigint; everybody prints the identifier unsigned.
  return value === undefined || value === null ? undefined : BigInt.asUintN(64, BigInt(value)).toString();
}

async function readPosition(
  sql: SqlSession,
  inRecovery: boolean,
): Promise<Pick<ServerFacts, 'timeline' | 'currentLsn'>> {
  if (!inRecovery) {
    const row = await optional(
      sql,
      'select pg_current_wal_lsn()::text as lsn, pg_walfile_name(pg_current_wal_lsn()) as file',
    );
    const file = row?.['file'];
    return { timeline: file ? Number.parseInt(file.slice(0, 8), 16) : undefined, currentLsn: lsnOf(row?.['lsn']) };
  }
  const row = await optional(
    sql,
    `select pg_last_wal_replay_lsn()::text as lsn,
            greatest((pg_control_checkpoint()).timeline_id, (pg_control_recovery()).min_recovery_end_timeline)::text as timeline`,
  );
  return { timeline: numberOf(row?.['timeline']), currentLsn: lsnOf(row?.['lsn']) };
}

async function readSlots(sql: SqlSession): Promise<readonly SlotFact[] | undefined> {
  const rows = await rowsOrUndefined(
    sql,
    `select slot_name::text as name, (slot_type = 'physical')::text as physical, active::text as active,
            restart_lsn::text as lsn, wal_status from pg_replication_slots order by slot_name`,
  );
  return rows?.map((row) => ({
    name: row['name'] ?? '',
    physical: row['physical'] === 'true',
    active: row['active'] === 'true',
    restartLsn: lsnOf(row['lsn']),
    walStatus: row['wal_status'] ?? undefined,
  }));
}

async function readClock(
  sql: SqlSession,
  now: () => number,
): Promise<Pick<ServerFacts, 'clockSkewMs' | 'roundTripMs' | 'serverStartedAt'>> {
  const before = now();
  const row = await one(
    sql,
    `select (extract(epoch from clock_timestamp()) * 1000)::float8::text as clock, pg_postmaster_start_time()::text as started`,
  );
  const after = now();
  return {
    clockSkewMs: Math.round(Number(row?.['clock'] ?? Number.NaN) - (before + after) / 2),
    roundTripMs: Math.round(after - before),
    serverStartedAt: row?.['started'] ?? undefined,
  };
}

/** Old name first, so that the newest one the server has wins. */
const FUNCTIONS = {
  switch_wal: ['pg_switch_wal()'],
  restore_point: ['pg_create_restore_point(text)'],
  emit_message: ['pg_logical_emit_message(boolean,text,text)', 'pg_logical_emit_message(boolean,text,text,boolean)'],
  start_backup: ['pg_start_backup(text,boolean,boolean)', 'pg_backup_start(text,boolean)'],
} as const;

async function readRole(sql: SqlSession): Promise<RoleFacts> {
  const rights = Object.entries(FUNCTIONS).map(([name, signatures]) => {
    const found = signatures.map((signature) => `to_regprocedure('pg_catalog.${signature}')`).toReversed();
    return `has_function_privilege(coalesce(${found.join(', ')}), 'execute')::text as ${name}`;
  });
  const row = await one(
    sql,
    `select rolname::text as name, rolsuper::text as superuser, rolreplication::text as replication,
            pg_has_role(current_user, 'pg_monitor', 'usage')::text as monitor,
            pg_has_role(current_user, 'pg_read_all_settings', 'usage')::text as settings,
            ${rights.join(',\n            ')}
       from pg_roles where rolname = current_user`,
  );
  return {
    name: row?.['name'] ?? '',
    superuser: row?.['superuser'] === 'true',
    replication: row?.['replication'] === 'true',
    monitor: row?.['monitor'] === 'true',
    readAllSettings: row?.['settings'] === 'true',
    maySwitchWal: booleanOf(row?.['switch_wal']),
    mayCreateRestorePoint: booleanOf(row?.['restore_point']),
    mayEmitMessage: booleanOf(row?.['emit_message']),
    mayStartBackup: booleanOf(row?.['start_backup']),
  };
}

async function readArchiver(sql: SqlSession): Promise<ArchiverFacts | undefined> {
  const row = await optional(
    sql,
    `select archived_count::text as archived, last_archived_wal,
            (last_archived_time at time zone 'UTC')::text || '+00' as archived_at,
            extract(epoch from clock_timestamp() - last_archived_time)::text as age,
            failed_count::text as failed, last_failed_wal,
            (last_failed_time at time zone 'UTC')::text || '+00' as failed_at,
            (last_failed_time > coalesce(last_archived_time, '-infinity'))::text as failing
       from pg_stat_archiver`,
  );
  if (row === undefined) return undefined;
  return {
    archivedCount: numberOf(row['archived']) ?? 0,
    lastArchivedWal: row['last_archived_wal'] ?? undefined,
    lastArchivedTime: row['archived_at'] ?? undefined,
    lastArchivedAgeSeconds: numberOf(row['age']),
    failedCount: numberOf(row['failed']) ?? 0,
    lastFailedWal: row['last_failed_wal'] ?? undefined,
    lastFailedTime: row['failed_at'] ?? undefined,
    failing: row['failing'] === 'true',
  };
}

async function readWal(sql: SqlSession): Promise<WalFacts> {
  const directory = await optional(
    sql,
    'select count(*)::text as files, coalesce(sum(size), 0)::text as bytes from pg_ls_waldir()',
  );
  const ready = await optional(
    sql,
    `select count(*)::text as files from pg_ls_archive_statusdir() where name like '%.ready'`,
  );
  const rate = await optional(
    sql,
    `select wal_bytes::text as bytes, extract(epoch from clock_timestamp() - stats_reset)::text as seconds from pg_stat_wal`,
  );
  return {
    directoryFiles: numberOf(directory?.['files']),
    directoryBytes: numberOf(directory?.['bytes']),
    readyFiles: numberOf(ready?.['files']),
    bytesSinceReset: numberOf(rate?.['bytes']),
    secondsSinceReset: numberOf(rate?.['seconds']),
  };
}

async function readTablespaces(sql: SqlSession): Promise<readonly TablespaceFact[] | undefined> {
  const rows = await rowsOrUndefined(
    sql,
    `select oid::text as oid, spcname::text as name, pg_tablespace_location(oid) as location from pg_tablespace
      where spcname not in ('pg_default', 'pg_global') order by oid`,
  );
  return rows?.map((row) => ({
    oid: Number(row['oid']),
    name: row['name'] ?? '',
    location: row['location'] ?? '',
  }));
}

async function readDatabases(sql: SqlSession): Promise<Pick<ServerFacts, 'databaseBytes' | 'databases'>> {
  const count = await one(sql, 'select count(*)::text as value from pg_database');
  const size = await optional(sql, 'select sum(pg_database_size(oid))::text as value from pg_database');
  return { databases: numberOf(count?.['value']), databaseBytes: numberOf(size?.['value']) };
}

const UNIT_BYTES: Readonly<Record<string, number>> = { B: 1, kB: 1024, '8kB': 8192, MB: 1 << 20, GB: 1 << 30 };

function bytesOf(setting: SettingFact | undefined): number | undefined {
  const unit = UNIT_BYTES[setting?.unit ?? 'B'];
  const value = numberOf(setting?.value);
  return unit === undefined || value === undefined ? undefined : value * unit;
}

function numberOf(text: string | null | undefined): number | undefined {
  return text === undefined || text === null || text === '' ? undefined : Number(text);
}

function lsnOf(text: string | null | undefined): Lsn | undefined {
  return text === undefined || text === null ? undefined : parseLsn(text);
}

function booleanOf(text: string | null | undefined): boolean | undefined {
  return text === undefined || text === null ? undefined : text === 'on' || text === 'true';
}
