/** How much memory a backup and a restore of a big relation take, and that the relation comes back as it was. @packageDocumentation */
import { Cluster, type Major } from '@keyframe/testkit/postgres';
import { reportOf } from '../e2e/support/keyframe.ts';
import { peakMemory } from '../e2e/support/peak-memory.ts';
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
  const backup = await peakMemory(site.spawn(['backup']));
  reportOf(backup.ended, 'backup');
  // Room for the copy on a small disk, and for its server in a small memory.
  await origin.stop();
  const to = site.freshPath();
  const restore = await peakMemory(site.spawn(['restore', '--immediate', '--to', to, '--no-sync']));
  reportOf(restore.ended, 'restore');
  await using cluster = await Cluster.attach(to);
  await cluster.exec('pg_verifybackup', ['-n', to]);
  await cluster.start({ timeoutMs: PATIENCE_MS });
  await cluster.waitPromoted(PATIENCE_MS);
  const after = await cluster.sql(digest);
  return { backupMiB: backup.peakMiB, restoreMiB: restore.peakMiB, relationMiB, before, after };
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
