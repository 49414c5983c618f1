import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { VerifyReport } from '@keyframe/engine';
import { needs } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dumpAll } from './support/dump.ts';
import { Site } from './support/site.ts';

const run = promisify(execFile);
const NEEDLE = 'the needle that nobody may find';

let secrets = '';
beforeAll(async () => {
  secrets = await mkdtemp(join(tmpdir(), 'kf-keys-'));
});
afterAll(() => rm(secrets, { recursive: true, force: true }));

async function secretFile(name: string, content: string): Promise<string> {
  const file = join(secrets, name);
  await writeFile(file, content);
  return `"\${file:${file}}"`;
}

const passphraseSlot = async (name: string, text: string): Promise<string> =>
  `{ use: passphrase, name: ${name}, work: 14, passphrase: ${await secretFile(`${name}.txt`, `${text}\n`)} }`;

interface KeyReport {
  readonly slots: readonly { readonly slot: string; readonly generation: number; readonly result?: string }[];
}

/** Keys of the objects in which a text stands. */
async function objectsWith(site: Site, text: string): Promise<string[]> {
  const found: string[] = [];
  for (const key of await site.objects())
    if ((await readFile(join(site.repository, key))).includes(text)) found.push(key);
  return found;
}

describe('an encrypted repository', () => {
  test('recovers to the end and to a moment before its keys were rotated, and holds nothing that can be read', async (context) => {
    await needs(context, 'postgres-17');
    const slot = await passphraseSlot('office', 'correct horse battery');
    const compress = 'none';
    await using site = await Site.create(17, { walSegmentSizeMiB: 1, encrypt: `[${slot}]`, compress });
    const { origin } = site;
    await origin.sql(
      `create table t as select i, '${NEEDLE} ' || i as text from generate_series(1, 20000) i; checkpoint`,
    );
    await site.backup();
    await origin.sql(`select pg_create_restore_point('before')`);
    const before = await dumpAll(origin);
    await site.archiveAll();
    await site.report(['key', 'rotate']);
    await origin.sql(`update t set text = text || ' later'; checkpoint`);
    const increment = await site.backup(['--type', 'incremental']);
    expect(increment.label).toContain('incremental');
    await origin.sql(`insert into t values (0, 'the very last')`);
    await site.archiveAll();
    const after = await dumpAll(origin);

    expect(await objectsWith(site, NEEDLE)).toEqual([]);
    expect((await site.report<KeyReport>(['key', 'test'])).slots).toMatchObject([
      { slot: 'office', generation: 1, result: 'opens' },
      { slot: 'office', generation: 2, result: 'opens' },
    ]);
    await using latest = await site.recover(['--latest']);
    expect(await dumpAll(latest)).toBe(after);
    await using named = await site.recover(['--name', 'before']);
    expect(await dumpAll(named)).toBe(before);
  });

  test('is closed to a configuration without its key, which neither writes nor takes WAL for absent', async (context) => {
    await needs(context, 'postgres-17');
    const slot = await passphraseSlot('office', 'correct horse battery');
    await using site = await Site.create(17, { walSegmentSizeMiB: 1, encrypt: `[${slot}]` });
    await site.backup();
    const segment = await site.archiveAll();
    const plain = join(site.directory, 'plain.yaml');
    await site.writeConfig({}, undefined, plain);
    const kept = async (): Promise<string[]> => (await site.objects()).filter((key) => !key.startsWith('leases/'));
    const objects = await kept();
    expect(await site.fault(['backup'], { config: plain })).toMatchObject({ code: 'KEY_REQUIRED' });
    const wrong = join(site.directory, 'wrong.yaml');
    await site.writeConfig({ encrypt: `[${await passphraseSlot('wrong', 'incorrect horse')}]` }, undefined, wrong);
    expect(await site.fault(['backup'], { config: wrong })).toMatchObject({ code: 'KEY_WRONG' });
    expect(await site.fault(['restore', '--latest', '--to', site.freshPath()], { config: wrong })).toMatchObject({
      code: 'KEY_WRONG',
    });
    for (const config of [plain, wrong]) {
      const target = site.freshPath('segment');
      const { status } = await site.keyframe(['wal', 'fetch', segment, target], { config });
      expect(status).toBe(200);
    }
    expect(await kept()).toEqual(objects);
  });

  test('is begun by `key add` on a repository without encryption; both halves are restored', async (context) => {
    await needs(context, 'postgres-17');
    await using site = await Site.create(17, { walSegmentSizeMiB: 1 });
    const { origin } = site;
    await origin.sql(`create table t as select i from generate_series(1, 1000) i`);
    await site.backup();
    await site.archiveAll();
    await site.writeConfig({ encrypt: `[${await passphraseSlot('office', 'correct horse battery')}]` });
    expect(await site.fault(['backup'])).toMatchObject({ code: 'NOT_ENCRYPTED' });
    const untested = await site.keyframe(['key', 'test']);
    expect([untested.status, JSON.parse(untested.stdout)]).toMatchObject([3, { encrypted: false, slots: [] }]);
    expect(await site.report(['key', 'list'])).toMatchObject({ encrypted: false });
    await site.report(['key', 'add']);
    await origin.sql(`insert into t select i from generate_series(1001, 2000) i`);
    await site.backup(['--type', 'incremental']);
    await site.archiveAll();
    const expected = await dumpAll(origin);
    await using latest = await site.recover(['--latest']);
    expect(await dumpAll(latest)).toBe(expected);
  });
});

describe('a host that holds public keys of gpg and the index key', () => {
  const homes: string[] = [];
  const gpg = (home: string, ...args: string[]) =>
    run('gpg', [
      '--homedir',
      home,
      '--batch',
      '--quiet',
      '--no-tty',
      '--pinentry-mode',
      'loopback',
      '--passphrase',
      '',
      ...args,
    ]);

  async function keyring(...users: readonly string[]): Promise<string> {
    // The agent's socket lies in it, and the path of a socket must be short.
    const home = await mkdtemp(join(tmpdir(), 'kfg-'));
    homes.push(home);
    for (const user of users) {
      await gpg(home, '--quick-generate-key', user, 'future-default', 'default', 'never');
      await gpg(home, '--armor', '--output', join(home, `${user}.asc`), '--export', user);
    }
    return home;
  }
  afterAll(async () => {
    for (const home of homes) {
      await run('gpgconf', ['--homedir', home, '--kill', 'all']);
      await rm(home, { recursive: true, force: true });
    }
  });

  test('archives and takes backups, increments included, that the second recipient alone restores', async (context) => {
    await needs(context, 'postgres-17');
    await needs(context, 'gpg');
    const [office, safe, db] = [
      await keyring('office@example.com'),
      await keyring('safe@example.com'),
      await keyring(),
    ];
    for (const home of [db, office, safe]) {
      if (home !== office) await gpg(home, '--import', join(office, 'office@example.com.asc'));
      if (home !== safe) await gpg(home, '--import', join(safe, 'safe@example.com.asc'));
    }
    const slot = (home: string): string =>
      `[{ use: gpg, recipients: [office@example.com, safe@example.com], home: ${home} }]`;
    await using site = await Site.create(17, {
      walSegmentSizeMiB: 1,
      start: false,
      encrypt: slot(office),
      compress: 'none',
      settings: { summarize_wal: 'on' },
    });
    const { origin } = site;
    await site.report(['repository', 'create']);
    const indexFile = join(secrets, 'index.key');
    await site.report(['key', 'export-index', '--to', indexFile]);
    const indexKey = `\n    indexKey: "\${file:${indexFile}}"`;
    await site.writeConfig({ encrypt: slot(db) + indexKey, compress: 'none' });
    await origin.start();
    await origin.sql(
      `create table t as select i, '${NEEDLE} ' || i as text from generate_series(1, 20000) i; checkpoint`,
    );
    const full = await site.backup();
    await origin.sql(`update t set text = text || ' later' where i < 100; checkpoint`);
    const increment = await site.backup(['--type', 'incremental']);
    const last = await site.archiveAll();
    const expected = await dumpAll(origin);

    expect(await objectsWith(site, NEEDLE)).toEqual([]);
    expect(increment.storedBytes).toBeLessThan(full.storedBytes / 3);
    expect(await site.fault(['restore', '--latest', '--to', site.freshPath()])).toMatchObject({ code: 'KEY_REQUIRED' });
    expect((await site.keyframe(['wal', 'fetch', last, site.freshPath('segment')])).status).toBe(200);
    expect((await site.keyframe(['key', 'test'])).status).toBe(3);

    // What this host cannot decode it remembers as hashed: that is all it can do, and no reading for a host with a key.
    const deep = ['verify', '--deep'];
    const hashed = await site.report<VerifyReport>(deep);
    expect(hashed.coverage.hashed).toBeGreaterThan(3);
    expect(hashed.remarks.some(({ message }) => message.includes('hashes were checked'))).toBe(true);
    expect((await site.report<VerifyReport>(deep)).coverage).toMatchObject({ checked: 0, hashed: 0 });

    const reader = join(site.directory, 'reader.yaml');
    await site.writeConfig({ encrypt: slot(safe), compress: 'none' }, undefined, reader);
    const decoded = await site.report<VerifyReport>(deep, { config: reader });
    expect(decoded.coverage.hashed).toBe(0);
    expect(decoded.coverage.checked).toBeGreaterThanOrEqual(hashed.coverage.hashed);
    expect((await site.report<KeyReport>(['key', 'test'], { config: reader })).slots).toMatchObject([
      { result: 'opens' },
    ]);
    await using latest = await site.recover(['--latest'], { config: reader });
    expect(await dumpAll(latest)).toBe(expected);
  });
});
