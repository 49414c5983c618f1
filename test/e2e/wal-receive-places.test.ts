import { execFile } from 'node:child_process';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { needs } from '@keyframe/testkit/postgres';
import { expect, onTestFinished, test } from 'vitest';
import { Load, streaming } from './support/load.ts';
import { Site, type SiteOptions } from './support/site.ts';

const RECEIVER_ALONE = { archive_mode: 'off', archive_command: '', autovacuum: 'off' } as const;
const SYNCHRONOUS = '{ synchronous: true }';

/** A server whose commits wait for a receiver that runs, and a backup of it. */
async function received(options: SiteOptions, before?: (site: Site) => Promise<void>) {
  const site = await Site.create(18, { settings: RECEIVER_ALONE, receive: SYNCHRONOUS, start: false, ...options });
  const { origin } = site;
  await site.report(['repository', 'create']);
  await before?.(site);
  await origin.start();
  await origin.sql('create table load (n int primary key)');
  const receiver = site.spawn(['wal', 'receive']);
  onTestFinished(async () => {
    receiver.child.kill('SIGKILL');
    await receiver.ended;
  });
  await streaming(origin);
  await site.backup();
  await origin.sql(`alter system set synchronous_standby_names = 'keyframe_main'`);
  await origin.sql('select pg_reload_conf()');
  const lose = async (load: Load): Promise<void> => {
    await origin.kill9();
    await load.stop();
    receiver.child.kill('SIGKILL');
    await receiver.ended;
    await rm(origin.data, { recursive: true });
  };
  return { site, load: new Load(origin), lose };
}

/** How many rows are there after a recovery, which must be the first ones. */
async function recoveredRows(site: Site, ...words: string[]): Promise<number> {
  const copy = await site.recover(['--latest', ...words]);
  const [rows = 0, newest] = (await copy.sql('select count(*), max(n) from load')).split('|').map(Number);
  if (rows !== newest) throw new Error(`${rows} rows up to ${newest}`);
  return rows;
}

test('commits go on while one of three stores is away, and any two of them have all of it', async (context) => {
  await needs(context, 'postgres-18');
  const { site, load, lose } = await received({ stores: 3, walSegmentSizeMiB: 1 });
  await using _ = site;
  await load.until(5);
  const third = `${site.repository}-3`;
  await rename(third, `${third}.away`);
  await load.until(load.acknowledged + 10);
  await rename(`${third}.away`, third);
  await load.until(load.acknowledged + 10);
  await lose(load);
  // What lags catches up from the others; then the one that had everything from the beginning is lost.
  await site.report(['repository', 'sync']);
  await rename(site.repository, `${site.repository}.lost`);
  expect(await recoveredRows(site, '--without-store', 'store1')).toBeGreaterThanOrEqual(load.acknowledged);
});

/** The largest take long to make and differ in nothing else. */
const SIZES = process.env['KEYFRAME_TORTURE'] === 'full' ? [64, 256] : [64];

test.each(SIZES)('segments of %i MiB are streamed in parts, and recovered from them', async (walSegmentSizeMiB) => {
  const { site, load, lose } = await received({ walSegmentSizeMiB });
  await using _ = site;
  await load.until(10);
  await lose(load);
  const { status, stdout, stderr } = await site.keyframe(['plan', '--latest']);
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toHaveProperty('lastKept');
  // Rows are counted once a segment is whole, and that is said.
  expect(stderr).toContain('is still being written');
  expect(await recoveredRows(site)).toBeGreaterThanOrEqual(load.acknowledged);
});

test('a host that holds public keys alone receives what the office recovers', async (context) => {
  await needs(context, 'gpg');
  const run = promisify(execFile);
  const home = async (name: string): Promise<string> => {
    const directory = await mkdtemp(join(tmpdir(), `kfg-${name}-`));
    onTestFinished(async () => {
      await run('gpgconf', ['--homedir', directory, '--kill', 'all']);
      await rm(directory, { recursive: true, force: true });
    });
    return directory;
  };
  const gpg = (directory: string, ...args: string[]) =>
    run('gpg', ['--homedir', directory, '--batch', '--yes', ...args]);
  const [office, db] = [await home('office'), await home('db')];
  await gpg(
    office,
    '--passphrase',
    '',
    '--quick-generate-key',
    'office@example.com',
    'future-default',
    'default',
    'never',
  );
  await gpg(office, '--output', join(office, 'public.asc'), '--armor', '--export', 'office@example.com');
  await gpg(db, '--import', join(office, 'public.asc'));
  const slot = (directory: string): string => `[{ use: gpg, recipients: [office@example.com], home: ${directory} }]`;
  const index = join(office, 'index.key');
  const { site, load, lose } = await received({ walSegmentSizeMiB: 1, encrypt: slot(office) }, async (made) => {
    await made.report(['key', 'export-index', '--to', index]);
    const encrypt = `${slot(db)}\n    indexKey: "\${file:${index}}"`;
    await made.writeConfig({ encrypt, receive: SYNCHRONOUS });
  });
  await using _ = site;
  await load.until(10);
  await lose(load);
  expect(await site.fault(['restore', '--latest', '--to', site.freshPath()])).toMatchObject({ code: 'KEY_REQUIRED' });
  await site.writeConfig({ encrypt: slot(office) });
  expect(await recoveredRows(site)).toBeGreaterThanOrEqual(load.acknowledged);
});
