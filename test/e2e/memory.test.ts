import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, needs } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { reportOf, type Running } from './support/keyframe.ts';
import { Site } from './support/site.ts';

const LIMIT_MIB = 300;
const ROW_BYTES = 2 << 10;

/** Size of the one big relation. In the bounded form just over 1 GiB, where PostgreSQL begins a second file. */
const SIZE_MIB = process.env['KEYFRAME_TORTURE'] === 'full' ? 4 << 10 : (1 << 10) + 80;

/** The most memory that a process had resident, MiB, as the kernel counts it. */
async function peakOf(running: Running): Promise<number> {
  let peakKiB = 0;
  const ended = running.ended.then(() => true);
  while (!(await Promise.race([ended, sleep(25, false)]))) {
    const status = await readFile(`/proc/${running.pid}/status`, 'utf8').catch(() => '');
    peakKiB = Math.max(peakKiB, Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0));
  }
  return Math.round(peakKiB / 1024);
}

/** A table of that size, made without WAL, half of it rows that compress well and half rows that do not. */
async function fill(site: Site): Promise<void> {
  const { origin } = site;
  await origin.stop();
  await origin.start({
    settings: { wal_level: 'minimal', max_wal_senders: 0, archive_mode: 'off', max_wal_size: '4GB' },
  });
  const rows = Math.floor((SIZE_MIB << 20) / (ROW_BYTES + 40));
  await origin.sql(`
    create extension pgcrypto;
    begin;
    create table big (i int, filling bytea);
    alter table big alter filling set storage plain;
    insert into big select i, case when i % 2 = 0 then gen_random_bytes(1024) || gen_random_bytes(1000)
      else decode(repeat(md5(i::text), ${ROW_BYTES / 16 - 1}), 'hex') end from generate_series(1, ${rows}) i;
    commit;
    checkpoint`);
  await origin.restart();
}

describe(`a database of ${SIZE_MIB} MiB`, () => {
  test(`is backed up and restored within ${LIMIT_MIB} MiB of memory, its relation of several files included`, async (context) => {
    await needs(context, 'postgres-18');
    // With checksums the first look at new rows would write every page to WAL.
    await using site = await Site.create(18, { checksums: false });
    await fill(site);
    expect(Number(await site.origin.sql("select pg_relation_size('big') >> 20"))).toBeGreaterThan(1024);
    const digest = "select count(*), sum(hashtextextended(md5(filling), i)) from big";
    const expected = await site.origin.sql(digest);

    const backup = site.spawn(['backup']);
    const backupMiB = await peakOf(backup);
    reportOf(await backup.ended, 'backup');
    const to = site.freshPath();
    const restore = site.spawn(['restore', '--immediate', '--to', to, '--no-sync']);
    const restoreMiB = await peakOf(restore);
    reportOf(await restore.ended, 'restore');
    process.stderr.write(`peak memory with ${SIZE_MIB} MiB: backup ${backupMiB} MiB, restore ${restoreMiB} MiB\n`);
    expect(backupMiB).toBeGreaterThan(30);
    expect(backupMiB).toBeLessThan(LIMIT_MIB);
    expect(restoreMiB).toBeGreaterThan(30);
    expect(restoreMiB).toBeLessThan(LIMIT_MIB);

    await site.origin.stop();
    await using cluster = await Cluster.attach(to);
    await cluster.exec('pg_verifybackup', ['-n', to]);
    await cluster.start();
    await cluster.waitPromoted();
    expect(await cluster.sql(digest)).toBe(expected);
  });
});
