/** How much memory a backup and a restore of a big relation take, and that the relation comes back as it was. @packageDocumentation */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, type Major } from '@keyframe/testkit/postgres';
import { reportOf, type Running } from '../e2e/support/keyframe.ts';
import { PATIENCE_MS, Site } from '../e2e/support/site.ts';

export interface MemoryReport {
  readonly backupMiB: number;
  readonly restoreMiB: number;
  /** As the server counts it: beyond 1024 the relation has several files. */
  readonly relationMiB: number;
  /** A digest of all rows, before and after. */
  readonly before: string;
  readonly after: string;
}

const ROW_BYTES = 2 << 10;

/** Backs up and restores a cluster with one relation of that size. */
export async function memoryOf(major: Major, sizeMiB: number): Promise<MemoryReport> {
  // With checksums the first look at new rows would write every page to WAL.
  await using site = await Site.create(major, { checksums: false });
  await fill(site, sizeMiB);
  const { origin } = site;
  const relationMiB = Number(await origin.sql("select pg_relation_size('big') >> 20"));
  const digest = 'select count(*), sum(hashtextextended(md5(filling), i)) from big';
  const before = await origin.sql(digest);
  const backup = site.spawn(['backup']);
  const backupMiB = await peakOf(backup);
  reportOf(await backup.ended, 'backup');
  // Room for the copy on a small disk, and for its server in a small memory.
  await origin.stop();
  const to = site.freshPath();
  const restore = site.spawn(['restore', '--immediate', '--to', to, '--no-sync']);
  const restoreMiB = await peakOf(restore);
  reportOf(await restore.ended, 'restore');
  await using cluster = await Cluster.attach(to);
  await cluster.exec('pg_verifybackup', ['-n', to]);
  await cluster.start({ timeoutMs: PATIENCE_MS });
  await cluster.waitPromoted(PATIENCE_MS);
  return { backupMiB, restoreMiB, relationMiB, before, after: await cluster.sql(digest) };
}

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
async function fill(site: Site, sizeMiB: number): Promise<void> {
  const { origin } = site;
  await origin.stop();
  await origin.start({
    settings: { wal_level: 'minimal', max_wal_senders: 0, archive_mode: 'off', max_wal_size: '4GB' },
  });
  const rows = Math.floor((sizeMiB * 2 ** 20) / (ROW_BYTES + 40));
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
