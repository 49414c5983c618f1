/** Backups that read the data directory: the same files as PostgreSQL's own base backup, and a cluster that starts. */
import { createHash } from 'node:crypto';
import { appendFile, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { formatLsn } from '@keyframe/contracts';
import { allMajors, Cluster } from '@keyframe/testkit/postgres';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type BackupEntry,
  type BackupStart,
  connectSql,
  leastPrivilegeSql,
  type LocalBackup,
  type LocalEntry,
  openLocalBackup,
  openLocalFile,
  readControlFile,
  type SqlSession,
} from '../src/index.ts';
import { targetOf, writeBackup } from './replication-helpers.ts';

const OPTIONS = { label: `it's a "label"`, checkpoint: 'fast' } as const;

/** What differs between two backups of an idle cluster. */
const CHANGING = /^(?:global\/pg_control|pg_logical\/replorigin_checkpoint|backup_label|log)$/;

function facts(entries: Iterable<BackupEntry>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    [...entries].map(({ path: member, type, mode, sizeBytes, linkTarget = '' }) => [
      member,
      CHANGING.test(member) ? type : `${type} ${(mode & 0o777).toString(8)} ${sizeBytes} ${linkTarget}`,
    ]),
  );
}

async function listOf(backup: LocalBackup): Promise<readonly LocalEntry[]> {
  return Array.fromAsync(backup.entries());
}

async function contentOf(entry: LocalEntry): Promise<Buffer | undefined> {
  await using file = await openLocalFile(entry);
  if (file === undefined) return undefined;
  const content = Buffer.alloc(file.entry.sizeBytes);
  expect(await file.read(content, 0)).toBe(content.length);
  return content;
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe.each(allMajors)('a backup of local files of PostgreSQL %i', (major) => {
  let cluster: Cluster;
  let work = '';
  let holder: SqlSession;
  const opened: LocalBackup[] = [];

  async function open(url = cluster.url): Promise<LocalBackup> {
    const backup = await openLocalBackup(await targetOf(url), cluster.data, OPTIONS);
    opened.push(backup);
    return backup;
  }

  beforeAll(async () => {
    work = await mkdtemp(path.join(tmpdir(), 'kf-local-backup-'));
    cluster = await Cluster.create(major, { template: true, settings: { autovacuum: false, max_wal_senders: 4 } });
    await cluster.start();
    const [fast, slow] = ['fast', 'slow'].map((name) => path.join(cluster.directory, name));
    for (const space of [fast, slow]) await mkdir(space ?? '');
    await cluster.sql(`
      create tablespace fast location '${fast}';
      create tablespace slow location '${slow}';
      create table moved tablespace fast as select x, repeat('x', 100) from generate_series(1, 20000) x;
      create unlogged table scratch_moved tablespace fast as select generate_series(1, 100000) x;
      create table plain as select x, repeat('y', 100) from generate_series(1, 30000) x;
      create unlogged table scratch (x int primary key, y text);
      insert into scratch select x, repeat('z', 1000) from generate_series(1, 1000) x;
      vacuum scratch;
      create table empty ();
      set allow_in_place_tablespaces = on;
      create tablespace beside location '';
      create table in_place tablespace beside as select generate_series(1, 1000) x;`);
    await cluster.sql('create database second tablespace slow');
    await cluster.sql('create unlogged table u as select 1; create table t as select 2', { database: 'second' });
    holder = await connectSql(await targetOf(cluster.url));
    await holder.query(`create temporary table t tablespace fast as select generate_series(1, 1000)`);
    await holder.query(`create temporary table u (x int primary key)`);
    await writeFile(path.join(cluster.data, 'base', '1', 'pgsql_tmp1.2'), 'left over');
    await writeFile(path.join(cluster.data, 'base', '1', 't4_4711'), 'left over');
    await mkdir(path.join(cluster.data, 'pg_notify', 'below'));
    await writeFile(path.join(cluster.data, 'pg_notify', 'below', 'x'), 'x');
    await writeFile(path.join(cluster.data, 'backup_label.old'), 'kept');
    await writeFile(path.join(cluster.data, 'postgresql.auto.conf.tmp'), 'x');
    await symlink('/etc/hosts', path.join(cluster.data, 'linked'));
    await cluster.sql('checkpoint');
  });
  afterEach(async () => {
    for (const backup of opened.splice(0)) await backup.close();
  });
  afterAll(async () => {
    await holder.close();
    await cluster[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  it('has the entries of BASE_BACKUP', async () => {
    const theirs = await writeBackup(cluster.url, path.join(work, 'theirs'), OPTIONS);
    const backup = await open();
    const skipped: string[] = [];
    const ours = await Array.fromAsync(backup.entries({ onSkipped: (member) => void skipped.push(member) }));
    const expected = theirs.entries.filter(({ path: member }) => member !== 'backup_label');
    expect(ours.length).toBeGreaterThan(900);
    expect(facts(ours)).toEqual(facts(expected));
    expect(ours.at(-1)?.path).toBe('global/pg_control');
    expect(skipped).toEqual(['linked']);
    const places = ({ tablespaces }: BackupStart): Readonly<Record<number, string>> =>
      Object.fromEntries(tablespaces.map(({ oid, location }) => [oid, location]));
    expect(places(backup.start)).toEqual(places(theirs.start));
    const [estimate, their] = [backup.start, theirs.start].map(({ totalEstimateBytes }) => Number(totalEstimateBytes));
    expect((estimate ?? 0) / (their ?? 1)).toBeCloseTo(1, 1);
    expect(backup.start.timeline).toBe(1);
  });

  it('is a cluster that recovers to its end, with what was committed before', async () => {
    const restored = path.join(work, 'restored');
    await mkdir(restored, { mode: 0o700 });
    const backup = await open();
    await cluster.sql(`create table during as select generate_series(1, 5000) x; insert into plain values (0, 'new')`);
    for await (const entry of backup.entries()) await place(restored, entry);
    const end = await backup.stop();
    expect(end.stopLsn).toBeGreaterThan(backup.start.startLsn);
    expect(end.files.map(({ entry }) => entry.path)).toEqual(['backup_label', 'tablespace_map']);
    const [label, map] = end.files.map(({ content }) => content.toString());
    expect(label).toContain(`START WAL LOCATION: ${formatLsn(backup.start.startLsn)} `);
    expect(label).toContain(`LABEL: it's a "label"\n`);
    expect(map).toContain(path.join(cluster.directory, 'fast'));
    // Tablespaces are plain directories in the copy: without the map no link is made to the live ones.
    await writeFile(path.join(restored, 'backup_label'), label ?? '');
    await cluster.sql(`insert into plain values (1, 'too late'); select pg_switch_wal()`);
    const wal = path.join(cluster.data, 'pg_wal');
    const lines = `restore_command = 'cp ${wal}/%f %p'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\n`;
    await appendFile(
      path.join(restored, 'postgresql.conf'),
      `archive_mode = off\nallow_in_place_tablespaces = on\n${lines}`,
    );
    await writeFile(path.join(restored, 'recovery.signal'), '');
    await using copy = await Cluster.attach(restored);
    await copy.start();
    await copy.waitPromoted();
    expect(await copy.sql('select count(*) from plain')).toBe('30001');
    expect(await copy.sql('select count(*) from during')).toBe('5000');
    expect(await copy.sql('select count(*) from moved')).toBe('20000');
    expect(await copy.sql('select count(*) from in_place')).toBe('1000');
    expect(await copy.sql('select count(*) from scratch')).toBe('0');
    expect(await copy.sql('select * from t', { database: 'second' })).toBe('2');
  });

  async function place(directory: string, entry: LocalEntry): Promise<void> {
    const absolute = path.join(directory, entry.path);
    if (entry.type === 'file') {
      const content = await contentOf(entry);
      if (content !== undefined) await writeFile(absolute, content, { mode: entry.mode });
    } else await mkdir(absolute, { recursive: true, mode: 0o700 });
  }

  it('has every file as the server has it on disk', async () => {
    const backup = await open();
    const theirs = new Map<string, string>();
    const entries = await listOf(backup);
    for (const entry of entries.filter(({ path: member }) => member.startsWith('base/'))) {
      const content = entry.type === 'file' ? await contentOf(entry) : undefined;
      if (content !== undefined) theirs.set(entry.path, sha256(content));
    }
    const file = entries.find(({ path: member }) => theirs.has(member) && /\/\d+$/.test(member));
    const bytes = await cluster.sql(`select encode(sha256(pg_read_binary_file('${file?.path}')), 'hex')`);
    expect(theirs.get(file?.path ?? '')).toBe(bytes);
  });

  it('tolerates files that are dropped, cut and extended while they are read', async () => {
    const backup = await open();
    const places = ['100000001', '100000002', '100000003'].map((name) => path.join(cluster.data, 'base', '1', name));
    for (const each of places) await writeFile(each, Buffer.alloc(3 * 8192, 7));
    const entries = (await listOf(backup)).filter(({ source }) => places.includes(source ?? ''));
    expect(entries).toHaveLength(3);
    const [dropped, cut, extended] = entries;
    if (dropped === undefined || cut === undefined || extended === undefined) throw new Error('no files');
    await rm(dropped.source ?? '');
    expect(await openLocalFile(dropped)).toBeUndefined();
    await using cutFile = await openLocalFile(cut);
    await truncate(cut.source ?? '', 8192);
    const content = Buffer.alloc(5 * 8192, 1);
    expect(await cutFile?.read(content, 0)).toBe(3 * 8192);
    expect(
      content.compare(Buffer.concat([Buffer.alloc(8192, 7), Buffer.alloc(2 * 8192), Buffer.alloc(2 * 8192, 1)])),
    ).toBe(0);
    await using extendedFile = await openLocalFile(extended);
    await appendFile(extended.source ?? '', Buffer.alloc(8192, 8));
    expect(extendedFile?.entry.sizeBytes).toBe(3 * 8192);
    expect(await extendedFile?.read(content, 2 * 8192)).toBe(8192);
    expect(await extendedFile?.read(content, 3 * 8192)).toBe(0);
    for (const each of places) await rm(each, { force: true });
  });

  it('is void when its session is lost', async () => {
    const backup = await open(`${cluster.url}&application_name=doomed`);
    const lost = new Promise((resolve) => backup.lost.addEventListener('abort', resolve, { once: true }));
    await cluster.sql(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'doomed'`);
    await lost;
    await expect(listOf(backup)).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE' });
    await expect(backup.stop()).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE' });
  });

  it('is refused on the directory of another cluster', async () => {
    await using other = await Cluster.create(major, { template: true });
    const target = await targetOf(cluster.url);
    const wrong = expect.objectContaining({ code: 'WRONG_CLUSTER' });
    await expect(openLocalBackup(target, other.data, OPTIONS)).rejects.toEqual(wrong);
    await other.start();
    await expect(openLocalBackup(target, other.data, OPTIONS)).rejects.toEqual(wrong);
    await expect(openLocalBackup(target, path.join(work, 'absent'), OPTIONS)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    expect(
      await cluster.sql(`select count(*) from pg_stat_activity where application_name ~ 'keyframe'`),
    ).toBeDefined();
  });

  it('needs no more than the rights of the least privileged role', async () => {
    await cluster.sql(leastPrivilegeSql(major, 'keyframe').join(';\n'));
    const backup = await open(cluster.url.replace('postgres@', 'keyframe@'));
    expect((await listOf(backup)).length).toBeGreaterThan(900);
    expect((await backup.stop()).files).toHaveLength(2);
    await cluster.sql('create role nobody login');
    await expect(open(cluster.url.replace('postgres@', 'nobody@'))).rejects.toMatchObject({
      code: 'SERVER_ERROR',
      details: { sqlstate: '42501' },
    });
  });

  it('ends with its signal', async () => {
    const controller = new AbortController();
    const target = await targetOf(cluster.url);
    const backup = await openLocalBackup(target, cluster.data, { ...OPTIONS, signal: controller.signal });
    opened.push(backup);
    controller.abort(new Error('enough'));
    await expect(backup.stop()).rejects.toThrow('enough');
  });
});

describe.each([14, 18] as const)('a backup of local files of a standby of PostgreSQL %i', (major) => {
  it('ends without WAL of its own, is not taken for its primary, and breaks when it is promoted', async () => {
    await using primary = await Cluster.create(major, { template: true });
    await primary.start();
    const data = path.join(primary.directory, 'standby');
    await primary.exec('pg_basebackup', ['-D', data, '-X', 'stream', '-c', 'fast', '-R', '--no-sync']);
    await using standby = await Cluster.attach(data);
    await standby.start();
    const wrong = { code: 'WRONG_CLUSTER' };
    await expect(openLocalBackup(await targetOf(primary.url), data, OPTIONS)).rejects.toMatchObject(wrong);
    await expect(openLocalBackup(await targetOf(standby.url), primary.data, OPTIONS)).rejects.toMatchObject(wrong);

    await using backup = await openLocalBackup(await targetOf(standby.url), data, OPTIONS);
    expect(backup.standby).toBe(true);
    const control = (await listOf(backup)).at(-1);
    const content = control === undefined ? undefined : await contentOf(control);
    expect(readControlFile(content ?? Buffer.of()).state).toBe('in archive recovery');
    const end = await backup.stop();
    expect(end.stopTimeline).toBe(1);
    expect(end.files[0]?.content.toString()).toContain('BACKUP FROM: standby');

    await using broken = await openLocalBackup(await targetOf(standby.url), data, OPTIONS);
    await standby.sql('select pg_promote()');
    await expect(broken.stop()).rejects.toMatchObject({ code: 'SERVER_ERROR' });
  });
});
