import { mkdir, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { allMajors, childrenOf, Cluster, missing, postgresMajors } from '../src/postgres.ts';

describe.each(postgresMajors([17]))('PostgreSQL %i', (major) => {
  test('runs, survives kill -9, and a base backup of it starts as another server', async () => {
    await using cluster = await Cluster.create(major, {
      walSegmentSizeMiB: 1,
      settings: { application_name: "it's" },
    });
    await cluster.start();
    expect(await cluster.sql('show server_version')).toMatch(new RegExp(`^${major}\\.`));
    expect(await cluster.sql('show application_name; show wal_segment_size')).toContain('1MB');
    await cluster.sql('create table t as select 1 as n');
    const postmaster = cluster.pid ?? 0;
    const children = await childrenOf(postmaster);
    expect(children.length).toBeGreaterThan(3);
    await cluster.kill9();
    expect(await childrenOf(postmaster)).toEqual([]);
    expect(cluster.pid).toBeUndefined();
    await cluster.start();
    expect(await cluster.log()).toContain('automatic recovery in progress');
    const copy = path.join(cluster.directory, 'copy');
    await mkdir(copy, { mode: 0o700 });
    await cluster.exec('pg_basebackup', ['-D', copy, '-c', 'fast', '--no-sync']);
    await cluster.exec('pg_verifybackup', [copy]);
    await using restored = await Cluster.attach(copy);
    await restored.start();
    expect(await restored.sql('select n from t')).toBe('1');
    await restored.stop();
    expect(await restored.exec('pg_controldata', ['-D', copy])).toMatch(/state:\s+shut down\n/);
  });
});

test('a new cluster has a system identifier of its own, a templated one has not', async () => {
  const ids: string[] = [];
  for (const template of [false, false, true, true]) {
    await using cluster = await Cluster.create(17, { template });
    ids.push(/system identifier:\s+(\d+)/.exec(await cluster.exec('pg_controldata', [cluster.data]))?.[1] ?? '');
  }
  expect(ids[0]).not.toBe(ids[1]);
  expect(ids[2]).toBe(ids[3]);
});

test('a server that cannot start says why', async () => {
  await using cluster = await Cluster.create(17, { template: true, settings: { no_such_setting: 1 } });
  await expect(cluster.start()).rejects.toThrow('no_such_setting');
});

test('nothing is left after disposal', async () => {
  const cluster = await Cluster.create(17, { template: true });
  await cluster.start();
  const { pid, directory } = cluster;
  expect(await readdir(cluster.socketDirectory)).toContain(`.s.PGSQL.${cluster.port}`);
  await cluster[Symbol.asyncDispose]();
  await expect(stat(directory)).rejects.toThrow('ENOENT');
  expect(() => process.kill(pid ?? 0, 0)).toThrow('ESRCH');
});

test('every supported major is installable or says why not', async () => {
  const reasons = await Promise.all(allMajors.map((major) => missing(`postgres-${major}`)));
  expect(reasons).toEqual(allMajors.map(() => undefined));
});
