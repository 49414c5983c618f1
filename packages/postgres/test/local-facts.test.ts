/** Facts and rights, asked of real servers of every major. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { formatLsn } from '@keyframe/contracts';
import { Cluster, needs, postgresMajors } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveConnection } from '../src/connection/resolve.ts';
import { readControlFile } from '../src/control/control-file.ts';
import { cleanAutoConf, parseConfig } from '../src/settings/auto-conf.ts';
import { quoteForCommandSetting } from '../src/settings/command-setting.ts';
import { quoteForConfig } from '../src/settings/quoting.ts';
import { inspectServer } from '../src/sql/inspect.ts';
import { leastPrivilegeSql, quoteLiteral } from '../src/sql/least-privilege.ts';
import { createRestorePoint, currentLsn, emitMessage, switchWal } from '../src/sql/operations.ts';
import { connectSql, type SqlSession } from '../src/sql/session.ts';

const now = (): number => Date.now();

describe.each(postgresMajors())('PostgreSQL %i', (major) => {
  let cluster: Cluster;
  const opened: SqlSession[] = [];
  const open = async (user = 'postgres'): Promise<SqlSession> => {
    const url = cluster.url.replace('postgres@', `${encodeURIComponent(user)}@`);
    const session = await connectSql(await resolveConnection(url, { HOME: cluster.directory }));
    opened.push(session);
    return session;
  };

  beforeAll(async () => {
    cluster = await Cluster.create(major, {
      template: true,
      settings: {
        wal_level: 'replica',
        archive_mode: 'on',
        archive_command: 'true',
        TimeZone: 'Europe/Berlin',
        include_if_exists: 'quoting.conf',
      },
    });
    await cluster.start();
  });
  afterAll(async () => {
    await Promise.all(opened.map((each) => each.close()));
    await cluster[Symbol.asyncDispose]();
  });

  it('reads the control file as pg_controldata does', async (context) => {
    await needs(context, `postgres-${major}`);
    await cluster.sql('checkpoint');
    const [printed, bytes] = await Promise.all([
      cluster.exec('pg_controldata', ['-D', cluster.data]),
      readFile(path.join(cluster.data, 'global/pg_control')),
    ]);
    const said = new Map(
      printed.split('\n').map((line) => [line.split(/:\s+/)[0] ?? '', line.split(/:\s+/)[1] ?? ''] as const),
    );
    const control = readControlFile(bytes);
    expect(control.postgresMajor).toBe(major);
    expect({
      'pg_control version number': String(control.controlVersion),
      'Catalog version number': String(control.catalogVersion),
      'Database system identifier': control.systemIdentifier,
      'Database cluster state': control.state,
      'Latest checkpoint location': formatLsn(control.checkpoint),
      "Latest checkpoint's REDO location": formatLsn(control.redo),
      "Latest checkpoint's TimeLineID": String(control.timeline),
      "Latest checkpoint's PrevTimeLineID": String(control.previousTimeline),
      'Minimum recovery ending location': formatLsn(control.minRecoveryPoint),
      "Min recovery ending loc's timeline": String(control.minRecoveryPointTimeline),
      'Backup start location': formatLsn(control.backupStartPoint),
      'Backup end location': formatLsn(control.backupEndPoint),
      'End-of-backup record required': control.backupEndRequired ? 'yes' : 'no',
      'wal_level setting': control.walLevel,
      'max_connections setting': String(control.maxConnections),
      'max_worker_processes setting': String(control.maxWorkerProcesses),
      'max_wal_senders setting': String(control.maxWalSenders),
      'max_prepared_xacts setting': String(control.maxPreparedTransactions),
      'max_locks_per_xact setting': String(control.maxLocksPerTransaction),
      'Database block size': String(control.blockSizeBytes),
      'Blocks per segment of large relation': String(control.relationSegmentBlocks),
      'WAL block size': String(control.walBlockSizeBytes),
      'Bytes per WAL segment': String(control.walSegmentSizeBytes),
      'Data page checksum version': String(control.dataChecksumVersion),
    }).toEqual(Object.fromEntries([...said].filter(([name]) => !UNREAD.test(name))));
  });

  it('inspects as a superuser', async () => {
    const sql = await open();
    const facts = await inspectServer(sql, { now });
    const control = readControlFile(await readFile(path.join(cluster.data, 'global/pg_control')));
    expect(facts).toMatchObject({
      major,
      systemIdentifier: control.systemIdentifier,
      inRecovery: false,
      timeline: 1,
      walSegmentSizeBytes: 16 << 20,
      dataDirectory: cluster.data,
      walLevel: 'replica',
      archiveMode: 'on',
      archiveCommand: 'true',
      archiveLibrary: major >= 15 ? '' : undefined,
      maxWalSenders: 10,
      usedWalSenders: 0,
      fsync: false,
      fullPageWrites: true,
      dataChecksums: true,
      timeZone: 'Europe/Berlin',
      tablespaces: [],
      databases: 3,
      slots: [],
      role: {
        name: 'postgres',
        superuser: true,
        replication: true,
        maySwitchWal: true,
        mayCreateRestorePoint: true,
        mayEmitMessage: true,
        mayStartBackup: true,
      },
      archiver: { failing: false },
    });
    expect(facts.versionNumber).toBe(sql.versionNumber);
    expect(Math.abs(facts.clockSkewMs)).toBeLessThan(5000);
    expect(facts.databaseBytes).toBeGreaterThan(1 << 20);
    expect(facts.wal.directoryBytes).toBeGreaterThanOrEqual(16 << 20);
  });

  it('leaves undefined what a plain role may not see', async () => {
    await cluster.sql('create role plain login');
    const facts = await inspectServer(await open('plain'), { now });
    expect(facts).toMatchObject({
      dataDirectory: undefined,
      wal: { directoryBytes: undefined, readyFiles: undefined },
      role: { superuser: false, replication: false, maySwitchWal: false, mayCreateRestorePoint: false },
    });
    expect(facts.walLevel).toBe('replica');
  });

  it('gives the least-privilege role all that a backup needs and no table', async () => {
    const role = 'key"frame\\$1';
    const admin = await open();
    for (const statement of [...leastPrivilegeSql(major, role), ...leastPrivilegeSql(major, role)])
      await admin.query(statement);
    await admin.query('create table secrets (x int)');
    const sql = await open(role);
    const facts = await inspectServer(sql, { now });
    expect(facts).toMatchObject({
      dataDirectory: cluster.data,
      role: {
        name: role,
        superuser: false,
        replication: true,
        readAllSettings: true,
        monitor: true,
        maySwitchWal: true,
        mayCreateRestorePoint: true,
        mayEmitMessage: true,
        mayStartBackup: true,
      },
    });
    expect(facts.systemIdentifier).toBeDefined();
    expect(facts.databaseBytes).toBeGreaterThan(1 << 20);
    expect(facts.wal.directoryBytes).toBeGreaterThan(0);
    await expect(sql.query('select * from secrets')).rejects.toMatchObject({
      code: 'SERVER_ERROR',
      details: { sqlstate: '42501' },
    });
    const before = await currentLsn(sql);
    expect(await emitMessage(sql, 'probe')).toBeGreaterThan(before);
    expect(await createRestorePoint(sql, 'here')).toBeGreaterThan(before);
    expect(await switchWal(sql)).toBeGreaterThan(before);
    expect((await currentLsn(sql)) / 0x100_0000n).toBeGreaterThan(before / 0x100_0000n);
    const copy = path.join(cluster.directory, 'copy');
    await cluster.exec('pg_basebackup', ['-U', role, '-D', copy, '-X', 'none', '-c', 'fast', '--no-sync']);
    expect((await stat(path.join(copy, 'backup_label'))).isFile()).toBe(true);
  });

  it('finds in postgresql.auto.conf what ALTER SYSTEM put there, and leaves a file the server accepts', async () => {
    const sql = await open();
    const command = quoteForCommandSetting(['/opt/100% "sure"/it\'s\\k', '$x', '%p', 'a b']);
    await sql.query(`alter system set archive_command = ${quoteLiteral(command)}`);
    await sql.query(`alter system set restore_command = 'false'`);
    await sql.query(`alter system set recovery_target_time = '2026-01-01 00:00:00+00'`);
    await sql.query(`alter system set work_mem = '7MB'`);
    const file = path.join(cluster.data, 'postgresql.auto.conf');
    const text = await readFile(file, 'utf8');
    expect(parseConfig(text)).toContainEqual({ name: 'archive_command', value: command });
    const cleaned = cleanAutoConf(text);
    expect(parseConfig(cleaned).map(({ name }) => name)).toEqual(['archive_command', 'work_mem']);
    expect(text).toContain(cleaned.slice(cleaned.indexOf('archive_command')).split('\n')[0]);
  });

  it.each(['plain', "it's", String.raw`a\b\\'c`, 'per%%cent "%p"', 'é ☃', 'two\nlines', "''", String.raw`\'`])(
    'shows %j exactly as it was quoted into a configuration file',
    async (value) => {
      const sql = await open();
      const file = path.join(cluster.data, 'quoting.conf');
      await writeFile(file, `archive_cleanup_command = ${quoteForConfig(value)}\n`);
      const [row] = await sql.query<{ setting: string; error: string | null }>(
        `select setting, error from pg_show_all_file_settings() where name = 'archive_cleanup_command'`,
      );
      expect(row).toEqual({ setting: value, error: null });
    },
  );
});

const UNREAD =
  /^$|^(?:pg_control last modified|Latest checkpoint's (?:REDO WAL file|full_page_writes|Next|oldest|newest)|Time of latest|Fake LSN|wal_log_hints|track_commit|Maximum|Date\/time|Float8|Mock|Size of a large|Default char).*$/;
