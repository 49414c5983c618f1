import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { formatLsn } from '@keyframe/contracts';
import { allMajors, Cluster } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectReplication } from '../src/index.ts';
import { readTree, targetOf, writeBackup, type Written } from './replication-helpers.ts';

/** What differs between two backups of an idle cluster: where it starts, and the checkpoint that made it start. */
const CHANGING = /^(?:backup_label|backup_manifest|global\/pg_control|pg_wal\/.*|pg_logical\/replorigin_checkpoint)$/;

describe.each(allMajors)('a base backup of PostgreSQL %i', (major) => {
  let cluster: Cluster;
  let work = '';
  let oid = 0;
  let backup: Written;

  beforeAll(async () => {
    work = await mkdtemp(path.join(tmpdir(), 'kf-backup-'));
    cluster = await Cluster.create(major, { template: true, settings: { autovacuum: false } });
    await cluster.start();
    const space = path.join(cluster.directory, 'space');
    await mkdir(space);
    await cluster.sql(`
      create tablespace fast location '${space}';
      create table moved tablespace fast as select x, repeat('x', 100) from generate_series(1, 20000) x;
      create table plain as select x, repeat('y', 100) from generate_series(1, 30000) x;
      create unlogged table scratch as select generate_series(1, 1000);
      create table empty ();
      checkpoint`);
    oid = Number(await cluster.sql(`select oid from pg_tablespace where spcname = 'fast'`));
    const options = {
      label: `it's a "label"`,
      checkpoint: 'fast',
      maxRateKiB: 1_048_576,
      manifestChecksums: 'SHA256',
    } as const;
    backup = await writeBackup(cluster.url, path.join(work, 'ours'), options);
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  it('has the files that pg_basebackup has', async () => {
    const space = path.join(cluster.directory, 'space');
    const theirs = path.join(work, 'theirs');
    const mapping = `${space}=${path.join(work, 'space')}`;
    await cluster.exec('pg_basebackup', ['-D', theirs, '-X', 'none', '-c', 'fast', '--no-sync', '-T', mapping]);
    const [ours, other] = await Promise.all([readTree(path.join(work, 'ours')), readTree(theirs)]);
    const steady = (tree: typeof ours): object =>
      Object.fromEntries([...tree].filter(([name]) => !CHANGING.test(name)));
    expect(ours.size).toBeGreaterThan(900);
    expect(steady(ours)).toEqual(steady(other));
  });

  it('passes pg_verifybackup', async () => {
    const seen = await cluster.exec('pg_verifybackup', ['-n', path.join(work, 'ours')]);
    expect(seen).toContain('backup successfully verified');
  });

  it('says where it starts and ends', async () => {
    const label = await readFile(path.join(work, 'ours', 'backup_label'), 'utf8');
    expect(label).toContain(`START WAL LOCATION: ${formatLsn(backup.start.startLsn)} `);
    expect(label).toContain(`LABEL: it's a "label"\n`);
    expect(backup.manifest.toString()).toContain(`"End-LSN": "${formatLsn(backup.stopLsn)}"`);
    expect([backup.start.timeline, backup.stopTimeline]).toEqual([1, 1]);
  });

  it('tells about tablespaces and sizes before the first byte', () => {
    const { tablespaces, totalEstimateBytes } = backup.start;
    expect(tablespaces).toEqual([
      { oid, location: path.join(cluster.directory, 'space'), sizeEstimateBytes: expect.any(BigInt) },
    ]);
    expect(tablespaces[0]?.sizeEstimateBytes).toBeGreaterThan(2_000_000n);
    expect(totalEstimateBytes).toBeGreaterThan(25_000_000n);
  });

  it('reports progress up to about the estimate', () => {
    const { progress, start } = backup;
    expect(progress.length).toBeGreaterThan(10);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    expect(Math.abs((progress.at(-1) ?? 0) / Number(start.totalEstimateBytes) - 1)).toBeLessThan(0.1);
  });

  it('has the tablespace below its link', () => {
    const link = backup.entries.find(({ type }) => type === 'symlink');
    expect(link).toMatchObject({ path: `pg_tblspc/${oid}`, linkTarget: path.join(cluster.directory, 'space') });
    expect(backup.entries.filter((entry) => entry.path.startsWith(`pg_tblspc/${oid}/PG_`)).length).toBeGreaterThan(1);
  });

  it('has modes and times as the server has them', async () => {
    const entry = backup.entries.find((each) => each.path === 'PG_VERSION');
    const { mtimeMs, mode } = await stat(path.join(cluster.data, 'PG_VERSION'));
    expect(entry).toMatchObject({ modifiedAtSeconds: Math.floor(mtimeMs / 1000), mode: mode & 0o777, sizeBytes: 3 });
  });

  it('leaves the connection open for the next command', async () => {
    await using connection = await connectReplication(await targetOf(cluster.tcpUrl));
    const nothing = (): void => undefined;
    const options = { label: 'x', checkpoint: 'fast', verifyChecksums: false, manifestChecksums: 'NONE' } as const;
    for (let round = 0; round < 2; round += 1)
      await connection.baseBackup(options, { entry: nothing, bytes: nothing, end: nothing });
    expect(await connection.show('wal_segment_size')).toBe('16MB');
    expect(Math.floor(connection.versionNumber / 10_000)).toBe(major);
    expect(connection.parameters.get('in_hot_standby')).toBe('off');
  });
});
