import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cluster, needs } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { bundled } from '../bench/contenders/keyframe.ts';
import { generateRelations } from '../bench/data/pages.ts';
import { reportOf, run } from './support/keyframe.ts';
import { type Measured, peakMemory } from './support/peak-memory.ts';
import type { BackupFacts } from './support/reports.ts';
import { Site } from './support/site.ts';

/** The promise of the README, whatever the size of the database. */
const LIMIT_MIB = 300;
const isFull = process.env['KEYFRAME_TORTURE'] === 'full';
/** Of every four, three cannot be compressed. */
const DATABASE_MIB = isFull ? 4096 : 320;

/** The server reads its own entropy device: nothing is quicker. */
async function fill(cluster: Cluster, mebibytes: number): Promise<void> {
  await cluster.sql('create table noise (content bytea); alter table noise alter content set storage external');
  const noise = "pg_read_binary_file('/dev/urandom', i * 0, 1 << 20)";
  await cluster.sql(`insert into noise select ${noise} from generate_series(1, ${(mebibytes * 3) / 4}) i`);
  const rows = mebibytes * 256;
  await cluster.sql(
    `create table text as select i, repeat(md5(i::text), 27) as line from generate_series(1, ${rows}) i`,
  );
}

/** WAL of many small transactions and of large records. */
async function write(cluster: Cluster, mebibytes: number): Promise<void> {
  await cluster.sql(
    `insert into noise select pg_read_binary_file('/dev/urandom', i * 0, 1 << 20) from generate_series(1, ${mebibytes}) i`,
  );
  await cluster.sql('create table many (n int)');
  const commits = Array.from({ length: 500 }, (_, n) => `insert into many values (${n});`);
  await cluster.sql(commits.join('\n'));
}

function report(measured: Measured, what: string): unknown {
  process.stderr.write(`${what}: ${measured.peakMiB} MiB\n`);
  const printed = reportOf(measured.ended, what);
  expect([what, measured.peakMiB > 30, measured.peakMiB < LIMIT_MIB]).toEqual([what, true, true]);
  return printed;
}

describe.each([
  [16, DATABASE_MIB, 64],
  [256, 64, 300],
])('with WAL segments of %i MiB', (walSegmentSizeMiB, databaseMiB, walMiB) => {
  test(`the process never takes ${LIMIT_MIB} MiB`, { timeout: isFull ? 3_600_000 : 300_000 }, async (context) => {
    await needs(context, 'postgres-18');
    const sizes = { wal_keep_size: 0, max_wal_size: '2GB', min_wal_size: '512MB' };
    // A vacuum would write all pages once more.
    const settings = { ...sizes, archive_command: 'true', autovacuum: 'off' };
    await using site = await Site.create(18, { settings, walSegmentSizeMiB, walTimeout: '120s' });
    const { origin } = site;
    await fill(origin, databaseMiB);
    // What it wrote until now no backup needs.
    await site.archiveAll(origin, 600_000);
    await site.useArchiveCommand();
    const measure = (args: readonly string[]): Promise<Measured> => peakMemory(site.spawn(args));

    const backup = report(await measure(['backup']), 'backup') as BackupFacts;
    expect(backup.sizeBytes).toBeGreaterThan(databaseMiB << 20);
    await write(origin, walMiB);
    const segment = await site.archiveAll(origin, 120_000);
    report(await measure(['wal', 'push', join(origin.data, 'pg_wal', segment)]), 'wal push');
    const fetched = join(site.directory, 'fetched');
    report(await measure(['wal', 'fetch', segment, fetched]), 'wal fetch');
    const xid = await origin.sql('select xmin from many where n = 480');
    report(await measure(['plan', '--xid', xid]), 'plan');
    const to = site.freshPath();
    report(await measure(['restore', '--xid', xid, '--to', to, '--no-sync']), 'restore');
    await origin.stop('immediate');
    const restored = await site.attach(to);
    await restored.start();
    await restored.waitPromoted();
    expect(await restored.sql('select count(*) from many')).toBe('481');
    await restored.stop('immediate');
    await rm(to, { recursive: true });
  });
});

test(
  'nor do 20,000 small files beside large ones, at the level where the codec takes most',
  {
    timeout: isFull ? 3_600_000 : 300_000,
  },
  async (context) => {
    await needs(context, 'postgres-18');
    const compress = '{ use: zstd, level: 3 }';
    const encrypt = "[{ use: passphrase, passphrase: 'correct horse battery' }]";
    await using site = await Site.create(18, { compress, encrypt, walTimeout: '120s' });
    // Compressed larger than the packs that are filled and stored at a time. No table knows these files.
    await generateRelations(join(site.origin.data, 'base', '1'), isFull ? 1.5 : 0.3);
    // As it is published: from its source a process takes some 30 MiB more, to read TypeScript.
    const { argv } = await bundled(join(site.directory, 'bundle'));
    const measure = (args: readonly string[]): Promise<Measured> =>
      peakMemory(run([...argv, '--config', site.config, '--json', ...args]));
    const backup = report(await measure(['backup']), 'backup of small files') as BackupFacts;
    expect(backup.files).toBeGreaterThan(20_000);
    report(await measure(['backup']), 'increment of small files');
  },
);
