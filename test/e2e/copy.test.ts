import { execFile } from 'node:child_process';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { globSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { needs } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dumpAll } from './support/dump.ts';
import { Site } from './support/site.ts';

const run = promisify(execFile);
const NEEDLE = 'the needle that nobody may find';

interface CopyFacts {
  readonly mode: 'as-is' | 'anew';
  readonly cost: { readonly objects: number; readonly bytes: number };
  readonly copied: number;
  readonly present: number;
}

let secrets = '';
beforeAll(async () => {
  secrets = await mkdtemp(join(tmpdir(), 'kfg-'));
});
afterAll(async () => {
  await run('gpgconf', ['--homedir', secrets, '--kill', 'all']).catch(() => undefined);
  await rm(secrets, { recursive: true, force: true });
});

async function passphrase(name: string): Promise<string> {
  const file = join(secrets, `${name}.txt`);
  await writeFile(file, `the passphrase of ${name}\n`);
  return `[{ use: passphrase, work: 14, passphrase: "\${file:${file}}" }]`;
}

async function gpgKey(): Promise<string> {
  const common = ['--homedir', secrets, '--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', ''];
  await run('gpg', [...common, '--quick-generate-key', 'attic@example.com', 'future-default', 'default', 'never']);
  return `[{ use: gpg, recipients: [attic@example.com], home: ${secrets} }]`;
}

/** Adds repositories to the config file, each on a store of its own. */
async function addRepositories(site: Site, slots: Readonly<Record<string, string | undefined>>): Promise<void> {
  for (const [name, encrypt] of Object.entries(slots))
    await appendFile(
      site.config,
      `  ${name}: { stores: [{ use: fs, directory: ${placeOf(site, name)} }]${encrypt === undefined ? '' : `, encrypt: ${encrypt}`} }\n`,
    );
}

const placeOf = (site: Site, name: string): string => join(site.directory, name);

async function holdsNeedle(directory: string): Promise<boolean> {
  for (const file of globSync('**/*', { cwd: directory, withFileTypes: true }))
    if (file.isFile() && (await readFile(join(file.parentPath, file.name))).includes(NEEDLE)) return true;
  return false;
}

/** Kills a copy as soon as the target holds such an object. */
async function killedWhenThereIs(site: Site, pattern: string): Promise<void> {
  const { child, ended } = site.spawn(['copy', 'vault', 'attic']);
  const isOver = ended.then(() => true);
  const isThere = (): boolean => globSync(pattern, { cwd: placeOf(site, 'attic') }).length > 0;
  while (!isThere() && !(await Promise.race([isOver, sleep(5, false)])));
  child.kill('SIGKILL');
  expect((await ended).status).not.toBe(0);
}

describe('a copy under other keys', () => {
  test('goes on after a kill, cannot be opened with the old key, and recovers alone', async (context) => {
    await needs(context, 'postgres-18');
    await needs(context, 'gpg');
    const office = await passphrase('office');
    await using site = await Site.create(18, { walSegmentSizeMiB: 1, encrypt: office, compress: 'none' });
    await addRepositories(site, { attic: await gpgKey(), bare: undefined });
    const { origin } = site;
    await origin.sql(
      `create table t as select i, '${NEEDLE} ' || i as text from generate_series(1, 20000) i; checkpoint`,
    );
    await site.backup();
    await origin.sql(`update t set text = text || ' later' where i % 500 = 0; checkpoint`);
    const increment = await site.backup(['--type', 'incremental']);
    expect(increment.label).toContain('incremental');
    await origin.sql(`insert into t values (0, 'the very last')`);
    await site.archiveAll();
    const expected = await dumpAll(origin);

    await site.report(['repository', 'create', '--repository', 'attic']);
    const told = await site.report<CopyFacts>(['copy', 'vault', 'attic', '--dry-run']);
    expect(told).toMatchObject({ mode: 'anew', copied: 0 });
    expect(globSync('clusters/**', { cwd: placeOf(site, 'attic') })).toEqual([]);
    await killedWhenThereIs(site, 'clusters/main/1/wal/*/*/*');
    await killedWhenThereIs(site, 'clusters/main/1/backups/*/pack-*');
    const third = await site.report<CopyFacts>(['copy', 'vault', 'attic']);
    expect(third.mode).toBe('anew');
    expect(third.present).toBeGreaterThan(1);
    expect(await site.report<CopyFacts>(['copy', 'vault', 'attic'])).toMatchObject({ copied: 0, cost: { objects: 0 } });

    expect(await holdsNeedle(placeOf(site, 'attic'))).toBe(false);
    await site.report(['verify', '--deep', '--repository', 'attic']);
    await rm(site.repository, { recursive: true });
    await using latest = await site.recover(['--latest', '--repository', 'attic']);
    expect(await dumpAll(latest)).toBe(expected);
    // The old key, on the new store.
    const old = join(site.directory, 'old.yaml');
    await writeFile(
      old,
      (await readFile(site.config, 'utf8'))
        .replace(/attic@example.com\], home: \S+/u, 'x')
        .replace(/(attic: .*)encrypt: .*\}/u, `$1encrypt: ${office} }`),
    );
    expect(
      await site.fault(['restore', '--latest', '--repository', 'attic', '--to', site.freshPath()], { config: old }),
    ).toMatchObject({
      code: 'KEY_WRONG',
    });

    // And back to a repository without keys, if one insists.
    await site.report(['repository', 'create', '--repository', 'bare']);
    const one = ['copy', 'attic', 'bare', '--cluster', 'main', '--backup', increment.label];
    expect(await site.fault(one)).toMatchObject({ code: 'INVALID_OPTION' });
    expect(await site.report<CopyFacts>([...one, '--plain'])).toMatchObject({ mode: 'anew' });
    expect(await holdsNeedle(placeOf(site, 'bare'))).toBe(true);
    await site.report(['verify', '--deep', '--repository', 'bare']);
  });
});

interface Verified {
  readonly findings: readonly { readonly kind: string; readonly what: string; readonly backups: readonly string[] }[];
}

describe('a copy of one signed backup', () => {
  test('is believed, restores, and says what the chain names that it has not', async (context) => {
    await needs(context, 'postgres-17');
    await using site = await Site.create(17, { walSegmentSizeMiB: 1 });
    const key = join(site.directory, 'signing.key');
    await site.report(['signer', 'create', '--to', key]);
    const signing = `signing: { key: "\${file:${key}}" }`;
    await appendFile(site.config, `    ${signing}\n`);
    await appendFile(site.config, `  usb: { stores: [{ use: fs, directory: ${placeOf(site, 'usb')} }], ${signing} }\n`);
    await site.origin.sql('create table t as select i from generate_series(1, 1000) i');
    const { label: first } = await site.backup();
    await site.archiveAll();
    await site.origin.sql('insert into t values (0)');
    const { label: second } = await site.backup(['--type', 'incremental']);
    await site.archiveAll();
    await site.report(['copy', 'vault', 'usb', '--cluster', 'main', '--backup', second]);
    const usb = ['--repository', 'usb'];
    await site.report(['verify', '--deep', second, ...usb]);
    const all = await site.keyframe(['verify', ...usb]);
    expect(all.status).toBe(4);
    const { findings } = JSON.parse(all.stdout) as Verified;
    expect(new Set(findings.map(({ kind }) => kind))).toEqual(new Set(['missing']));
    expect(findings.filter(({ backups }) => backups.includes(second))).toEqual([]);
    expect(findings.some(({ backups }) => backups.includes(first))).toBe(true);
    await using restored = await site.recover(['--immediate', ...usb]);
    expect(await restored.sql('select count(*) from t')).toBe('1001');
  });
});
