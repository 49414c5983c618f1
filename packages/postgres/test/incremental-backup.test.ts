/** Incremental base backups: the same files as pg_combinebackup makes, and every reason of the server against one. */
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseLsn } from '@keyframe/contracts';
import { Cluster } from '@keyframe/testkit/postgres';
import { crc32c } from '@keyframe/wal';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type BackupEntry,
  type BackupStart,
  type BaseBackupResult,
  connectReplication,
  fullBackupLabel,
  type ManifestFile,
  parseBackupLabel,
  type ReplicationConnection,
  writeBackupManifest,
} from '../src/index.ts';
import { readTree, targetOf, writeBackup, type Written } from './replication-helpers.ts';

const BLOCK = 8192;
const OPTIONS = { label: 'increment', checkpoint: 'fast' } as const;
const SETTINGS = { summarize_wal: true, autovacuum: false };

async function connect(cluster: Cluster): Promise<ReplicationConnection> {
  return connectReplication(await targetOf(cluster.url));
}

const nothing = (): void => undefined;
const DROP = { entry: nothing, bytes: nothing, end: nothing };

interface Increment extends BaseBackupResult {
  readonly start: BackupStart | undefined;
  readonly files: ReadonlyMap<string, { readonly entry: BackupEntry; readonly content: Buffer }>;
}

async function takeIncrement(connection: ReplicationConnection): Promise<Increment> {
  const files = new Map<string, { readonly entry: BackupEntry; readonly content: Buffer }>();
  let start: BackupStart | undefined;
  let current: BackupEntry | undefined;
  let pieces: Buffer[] = [];
  const result = await connection.baseBackup(
    { ...OPTIONS, incremental: true },
    {
      start: (info) => void (start = info),
      entry: (entry) => {
        current = entry;
        pieces = [];
        if (entry.type !== 'file') files.set(entry.path, { entry, content: Buffer.of() });
      },
      bytes: (view) => void pieces.push(Buffer.from(view)),
      end: () => {
        if (current !== undefined) files.set(current.path, { entry: current, content: Buffer.concat(pieces) });
      },
    },
  );
  return { ...result, start, files };
}

/** Puts an increment on the files of the backup that it builds on, as a restore would. */
async function putTogether(earlier: string, { files }: Increment, directory: string): Promise<void> {
  for (const { entry, content } of files.values()) {
    const place = path.join(directory, entry.path);
    await mkdir(entry.type === 'file' ? path.dirname(place) : place, { recursive: true, mode: 0o700 });
    if (entry.type !== 'file') continue;
    if (entry.incremental === undefined) {
      await writeFile(place, entry.path === 'backup_label' ? fullBackupLabel(content) : content);
      continue;
    }
    const base = path.join(earlier, entry.path);
    const old = existsSync(base) ? await readFile(base) : Buffer.of();
    const { blocks, truncationBlocks, lengthBlocks } = entry.incremental;
    const whole = Buffer.alloc(lengthBlocks * BLOCK);
    old.copy(whole, 0, 0, truncationBlocks * BLOCK);
    let sent = 0;
    for (const block of blocks) sent += content.copy(whole, block * BLOCK, sent, sent + BLOCK);
    expect(sent).toBe(content.length);
    await writeFile(place, whole);
  }
}

/** A manifest of our own for a directory of files. */
async function manifestOf(directory: string, facts: Parameters<typeof writeBackupManifest>[1]): Promise<Buffer> {
  const files: ManifestFile[] = [];
  for (const [name, { sizeBytes }] of await readTree(directory))
    if (!name.endsWith('/') && name !== 'backup_manifest' && !name.startsWith('pg_wal/')) {
      const place = path.join(directory, name);
      const modifiedAtSeconds = Math.floor((await stat(place)).mtimeMs / 1000);
      files.push({ path: name, sizeBytes, modifiedAtSeconds, crc32c: crc32c(await readFile(place)) });
    }
  return Buffer.concat(await Array.fromAsync(writeBackupManifest(files, facts)));
}

describe.each([17, 18] as const)('an incremental base backup of PostgreSQL %i', (major) => {
  let cluster: Cluster;
  let work = '';
  let full: Written;
  let systemIdentifier = '';
  const at = (name: string): string => path.join(work, name);

  beforeAll(async () => {
    work = await mkdtemp(path.join(tmpdir(), 'kf-incremental-'));
    cluster = await Cluster.create(major, { settings: SETTINGS });
    await cluster.start();
    await cluster.sql(`
      create table big as select x, repeat('x', 200) y from generate_series(1, 60000) x;
      create index on big (x);
      create table cut as select x, repeat('y', 200) y from generate_series(1, 20000) x;
      create table dropped as select 1;
      create table rewritten as select x from generate_series(1, 10000) x;
      create table grown (x int, y text);
      insert into grown values (1, 'a');
      create unlogged table scratch as select generate_series(1, 1000);
      set allow_in_place_tablespaces = on;
      create tablespace beside location '';
      create table moved tablespace beside as select x, repeat('m', 200) y from generate_series(1, 10000) x`);
    full = await writeBackup(cluster.url, at('full'), OPTIONS);
    systemIdentifier = await cluster.sql('select system_identifier from pg_control_system()');
    await cluster.sql(`
      update big set y = 'changed' where x in (1, 30000);
      update moved set y = 'changed' where x = 1;
      delete from cut where x > 5000; vacuum (truncate) cut;
      drop table dropped;
      insert into grown select x, repeat('z', 200) from generate_series(1, 5000) x;
      create table made as select generate_series(1, 1000)`);
    await cluster.sql('vacuum full rewritten');
    await cluster.sql('create database copied strategy file_copy template template0');
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  it('becomes what pg_combinebackup makes of it', async () => {
    await writeFile(at('full/backup_manifest'), full.manifest);
    const theirs = at('theirs');
    await using connection = await connect(cluster);
    await connection.uploadManifest([full.manifest.subarray(0, 100), full.manifest.subarray(100)]);
    const increment = await takeIncrement(connection);
    // The same increment as PostgreSQL's own tool takes it. Nothing was written meanwhile but the checkpoint between them.
    await cluster.exec('pg_basebackup', [
      '-D',
      at('raw'),
      '-X',
      'none',
      '-c',
      'fast',
      '--no-sync',
      '-i',
      at('full/backup_manifest'),
    ]);
    await cluster.exec('pg_combinebackup', [at('full'), at('raw'), '-o', theirs, '--no-sync']);
    await putTogether(at('full'), increment, at('ours'));

    const [ours, combined] = await Promise.all([readTree(at('ours')), readTree(theirs)]);
    const relations = (tree: typeof ours): object =>
      Object.fromEntries(
        [...tree]
          .filter(([name]) => /^(?:base|global|pg_tblspc)\/(?!pg_control$)/.test(name))
          .map(([name, file]) => [name, file.sha256]),
      );
    expect(Object.keys(relations(ours)).length).toBeGreaterThan(900);
    expect(relations(ours)).toEqual(relations(combined));
    const blocks = [...increment.files.values()].filter(({ entry }) => entry.incremental !== undefined);
    expect(blocks.length).toBeGreaterThan(500);
    expect(blocks.some(({ entry }) => entry.path.startsWith('pg_tblspc/'))).toBe(true);
    expect(blocks.some(({ content }) => content.length > 0)).toBe(true);
    const sent = [...increment.files.values()].reduce((sum, { content }) => sum + content.length, 0);
    const whole = [...ours.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    expect(sent).toBeLessThan(whole / 2);
    expect(parseBackupLabel((await readFile(at('ours/backup_label'))).toString()).incrementalFromLsn).toBeUndefined();
    expect(increment.start?.timeline).toBe(1);
  });

  it('starts once its files are put together', async () => {
    await using connection = await connect(cluster);
    await connection.uploadManifest([full.manifest]);
    await putTogether(at('full'), await takeIncrement(connection), at('started'));
    await cluster.sql('select pg_switch_wal()');
    await writeFile(at('started/recovery.signal'), '');
    await using copy = await Cluster.attach(at('started'));
    const restore = `cp ${path.join(cluster.data, 'pg_wal')}/%f %p`;
    const target = { recovery_target: 'immediate', recovery_target_action: 'promote' };
    await copy.start({ settings: { restore_command: restore, allow_in_place_tablespaces: true, ...target } });
    await copy.waitPromoted();
    expect(await copy.sql(`select count(*), count(*) filter (where y = 'changed') from big`)).toBe('60000|2');
    expect(await copy.sql('select count(*) from cut')).toBe('5000');
    expect(await copy.sql(`select count(*), count(*) filter (where y = 'changed') from moved`)).toBe('10000|1');
    expect(await copy.sql('select count(*) from rewritten')).toBe('10000');
  });

  it('builds on a manifest that we wrote, which pg_verifybackup reads', async () => {
    const walRanges = [{ timeline: 1, startLsn: full.start.startLsn, endLsn: full.stopLsn }];
    const manifest = await manifestOf(at('full'), { systemIdentifier, major, walRanges });
    await cp(at('full'), at('verified'), { recursive: true });
    await writeFile(at('verified/backup_manifest'), manifest);
    expect(await cluster.exec('pg_verifybackup', ['-n', at('verified')])).toContain('successfully verified');
    await writeFile(at('verified/base/1/PG_VERSION'), 'xx\n');
    expect(await cluster.tryExec('pg_verifybackup', ['-n', at('verified')])).toMatchObject({ status: 1 });
    await using connection = await connect(cluster);
    await connection.uploadManifest(
      (async function* pieces() {
        for (let offset = 0; offset < manifest.length; offset += 70_001)
          yield manifest.subarray(offset, offset + 70_001);
      })(),
    );
    const { files } = await takeIncrement(connection);
    const big = await cluster.sql(`select pg_relation_filepath('big')`);
    expect(files.get(big)?.entry.incremental?.blocks.length).toBe(2);
  });

  it.each([
    ['other-cluster', { systemIdentifier: '4711' }],
    ['other-timeline', { timeline: 7 }],
    ['standby-idle', { endLsn: parseLsn('FF/0') }],
  ])('is not to be had for the reason %s', async (reason, change) => {
    const { startLsn, stopLsn: endLsn } = { startLsn: full.start.startLsn, stopLsn: full.stopLsn };
    const range = { timeline: 1, startLsn, endLsn, ...change };
    const manifest = await manifestOf(at('full/global'), { systemIdentifier, major, ...change, walRanges: [range] });
    await using connection = await connect(cluster);
    const attempt = async (): Promise<void> => {
      await connection.uploadManifest([manifest]);
      await connection.baseBackup({ ...OPTIONS, incremental: true }, DROP);
    };
    await expect(attempt()).rejects.toMatchObject({ code: 'INCREMENTAL_UNAVAILABLE', details: { reason } });
    // The connection is as good as before.
    expect(await connection.show('summarize_wal')).toBe('on');
  });

  it('is not to be had without a manifest, or with something else', async () => {
    await using connection = await connect(cluster);
    const unusable = { code: 'INCREMENTAL_UNAVAILABLE', details: { reason: 'manifest-unusable' } };
    await expect(connection.baseBackup({ ...OPTIONS, incremental: true }, DROP)).rejects.toMatchObject(unusable);
    await expect(connection.uploadManifest([Buffer.from('{ "x": [1,')])).rejects.toMatchObject(unusable);
    const damaged = Buffer.from(full.manifest.toString().replace('"Size": 3', '"Size": 4'));
    await expect(connection.uploadManifest([damaged])).rejects.toMatchObject(unusable);
    await connection.uploadManifest([full.manifest]);
  });
});

describe('an incremental base backup of PostgreSQL 18', () => {
  it('wants summaries of all WAL since the backup that it builds on', async () => {
    await using cluster = await Cluster.create(18, { template: true });
    await cluster.start();
    await using connection = await connect(cluster);
    const { manifest } = await connection.baseBackup(OPTIONS, DROP);
    const attempt = async (): Promise<void> => {
      await connection.uploadManifest([manifest]);
      await connection.baseBackup({ ...OPTIONS, incremental: true }, DROP);
    };
    const refused = (reason: string): object => ({ code: 'INCREMENTAL_UNAVAILABLE', details: { reason } });
    await expect(attempt()).rejects.toMatchObject(refused('summarize-wal-off'));
    await cluster.sql('alter system set summarize_wal = on');
    await cluster.sql('select pg_reload_conf()');
    const summaries = path.join(cluster.data, 'pg_wal', 'summaries');
    await expect.poll(() => connection.show('summarize_wal')).toBe('on');
    // The summarizer begins with the oldest WAL that is left, so all of it is there, until it is removed.
    await attempt();
    for (const name of await readdir(summaries)) await rm(path.join(summaries, name));
    await expect(attempt()).rejects.toMatchObject(refused('summaries-missing'));
  });

  it('of a standby wants activity since the last one', async () => {
    await using primary = await Cluster.create(18, { template: true, settings: SETTINGS });
    await primary.start();
    const data = path.join(primary.directory, 'standby');
    await primary.exec('pg_basebackup', ['-D', data, '-X', 'stream', '-c', 'fast', '-R', '--no-sync']);
    await using standby = await Cluster.attach(data);
    await standby.start();
    await using connection = await connect(standby);
    const { manifest } = await connection.baseBackup(OPTIONS, DROP);
    await connection.uploadManifest([manifest]);
    const attempt = (): Promise<unknown> => connection.baseBackup({ ...OPTIONS, incremental: true }, DROP);
    await expect(attempt()).rejects.toMatchObject({
      code: 'INCREMENTAL_UNAVAILABLE',
      details: { reason: 'standby-idle' },
    });
  });

  it('ends with its signal while the manifest is sent', async () => {
    await using cluster = await Cluster.create(18, { template: true });
    await cluster.start();
    await using connection = await connect(cluster);
    const controller = new AbortController();
    const endless = (async function* pieces() {
      yield Buffer.from('{ "PostgreSQL-Backup-Manifest-Version": 2,\n');
      controller.abort(new Error('enough'));
      await new Promise(() => undefined);
    })();
    await expect(connection.uploadManifest(endless, { signal: controller.signal })).rejects.toThrow('enough');
  });

  it('does not exist before 17', async () => {
    await using cluster = await Cluster.create(16, { template: true });
    await cluster.start();
    await using connection = await connect(cluster);
    const unsupported = { code: 'SERVER_UNSUPPORTED' };
    await expect(connection.uploadManifest([Buffer.of()])).rejects.toMatchObject(unsupported);
    await expect(connection.baseBackup({ ...OPTIONS, incremental: true }, DROP)).rejects.toMatchObject(unsupported);
  });
});
