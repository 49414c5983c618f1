/** Data directories and WAL that all contenders get alike, made once and kept between runs. @packageDocumentation */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, type Major } from '@keyframe/testkit/postgres';
import { run } from '../measure.ts';
import { fill, work } from './load.ts';

/** What decides about the data. */
export interface DatasetParameters {
  readonly major: Major;
  readonly gigabytes: number;
  /** WAL segments to archive and replay. */
  readonly segments: number;
}

export interface Dataset {
  /** A data directory that was shut down in order. Copied, never used. */
  readonly base: string;
  /** The segments that lead on from {@link base}. */
  readonly wal: string;
  readonly segments: readonly string[];
  /** A restore point near the end of {@link wal}. */
  readonly restorePoint: string;
}

/** Changed whenever the data would come out otherwise. */
const EDITION = 2;
const RESTORE_POINT = 'bench_end';

/** Settings of every server of the benchmark. `fsync` is the testkit's: off, for what the server itself writes. */
const SETTINGS = {
  shared_buffers: '256MB',
  max_wal_size: '8GB',
  checkpoint_timeout: '1h',
  wal_level: 'replica',
  archive_mode: 'on',
  archive_command: 'true',
  max_wal_senders: 8,
  autovacuum: 'off',
} as const;

/** Makes the data, or finds what an earlier run made. */
export async function ensureDataset(
  cache: string,
  { major, gigabytes, segments }: DatasetParameters,
  tell: (text: string) => void,
): Promise<Dataset> {
  const home = path.join(cache, `data-${EDITION}-pg${major}-${gigabytes}gb-${segments}wal`);
  if (!existsSync(home)) {
    tell(`making the data (about ${gigabytes} GB and ${segments} WAL segments of PostgreSQL ${major})`);
    await mkdir(cache, { recursive: true });
    const partial = await mkdtemp(path.join(cache, '.making-'));
    try {
      await make(partial, { major, gigabytes, segments });
      await rename(partial, home);
    } finally {
      await rm(partial, { recursive: true, force: true });
    }
  }
  const wal = path.join(home, 'wal');
  const names = (await readdir(wal)).filter((name) => /^[0-9A-F]{24}$/.test(name));
  return { base: path.join(home, 'base'), wal, segments: names.toSorted(), restorePoint: RESTORE_POINT };
}

async function make(home: string, { major, gigabytes, segments }: DatasetParameters): Promise<void> {
  await using cluster = await Cluster.create(major, { settings: SETTINGS });
  await cluster.start();
  await fill(cluster, gigabytes);
  await cluster.stop();
  await dropOldWal(cluster);
  await copyDirectory(cluster.data, path.join(home, 'base'));
  const wal = path.join(home, 'wal');
  await mkdir(wal);
  await cluster.start({ settings: { archive_command: `cp "%p" "${wal}/%f"` } });
  for (let round = 0; (await readdir(wal)).length < segments; round += 1) await work(cluster, round);
  await cluster.sql(`select pg_create_restore_point('${RESTORE_POINT}')`);
  const last = await cluster.sql('select pg_walfile_name(pg_switch_wal())');
  while (!existsSync(path.join(wal, last))) await sleep(100);
  // The archiver may still be copying it: a server that stops in order waits for that.
  await cluster.stop();
}

/** After an orderly stop only the segment of the last checkpoint is needed; the others are kept for reuse, and no backup has them. */
async function dropOldWal(cluster: Cluster): Promise<void> {
  const control = await cluster.exec('pg_controldata', ['-D', cluster.data]);
  const needed = /REDO WAL file:\s+(\w+)/.exec(control)?.[1];
  const directory = path.join(cluster.data, 'pg_wal');
  for (const name of await readdir(directory))
    if (/^[0-9A-F]{24}$/.test(name) && name !== needed) await rm(path.join(directory, name));
}

/** Copies a data directory as it is; shares blocks where the file system can. */
export async function copyDirectory(from: string, to: string): Promise<void> {
  await run({ argv: ['cp', '-a', '--reflink=auto', from, to] });
}
