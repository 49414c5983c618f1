import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import zstd from '@keyframe/compress-zstd';
import { Secret } from '@keyframe/contracts';
import passphrase from '@keyframe/encrypt-passphrase';
import { openRepository, type RepositoryKeys } from '@keyframe/repository';
import storeFs from '@keyframe/store-fs';
import { testHost } from '@keyframe/testkit';
import { announcedSeed, Random } from '@keyframe/testkit/postgres';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { reportOf, type Running, spawnKeyframe } from './support/keyframe.ts';

const NAMES = ['office', 'safe', 'third'] as const;
type Name = (typeof NAMES)[number];

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kf-key-kills-'));
  for (const name of NAMES) await writeFile(join(directory, name), `the passphrase of ${name}\n`, { mode: 0o600 });
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** A config file that names those keys, and no others. */
async function configOf(...names: readonly Name[]): Promise<string> {
  const slots = names.map(
    (name) => `{ use: passphrase, name: ${name}, work: 16, passphrase: "\${file:${join(directory, name)}}" }`,
  );
  const file = join(directory, `${names.join('-')}.yaml`);
  const store = `{ use: fs, directory: ${join(directory, 'repository')} }`;
  await writeFile(
    file,
    `clusters: { main: {} }\nrepositories: { vault: { stores: [${store}], encrypt: [${slots.join(', ')}] } }\n`,
  );
  return file;
}

async function start(names: readonly Name[], ...args: readonly string[]): Promise<Running> {
  return spawnKeyframe(['--config', await configOf(...names), '--json', ...args]);
}

/** Opened in this process by those keys alone. */
function keysOf(...names: readonly Name[]): RepositoryKeys {
  const host = testHost();
  const store = storeFs.create(
    { directory: join(directory, 'repository'), fileMode: 0o640, directoryMode: 0o750 },
    host,
  );
  const compressor = zstd.create({ level: 1 }, host);
  const encryptors = names.map((name) => ({
    kind: 'passphrase',
    encryptor: passphrase.create({ passphrase: new Secret(`the passphrase of ${name}`), name, work: 16 }, host),
  }));
  return openRepository({
    store,
    compressor,
    compressors: [compressor],
    encryption: { encryptors },
    now: () => new Date(),
  }).keys;
}

const keysDirectory = (): string => join(directory, 'repository', 'keys');

async function keyObjects(): Promise<string[]> {
  const entries = existsSync(keysDirectory())
    ? await readdir(keysDirectory(), { recursive: true, withFileTypes: true })
    : [];
  return entries.filter((each) => each.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

/** With that key alone the newest generation is opened, and all before it by what lies in its slot. */
async function expectOpens(name: Name): Promise<void> {
  const keys = keysOf(name);
  const { generations } = await keys.list();
  const opened = (await keys.exportIndex()).reveal().trim().split('\n');
  expect([name, opened.length]).toEqual([name, generations.length]);
}

/**
 * Kills the command when so many of its objects are there, and a moment later; or lets it end. What it left is whole, or
 * unfinished: then some of its objects are there and it did not succeed.
 */
async function killAt(
  running: Running,
  objects: number,
  delayMs: number,
): Promise<'acknowledged' | 'unfinished' | 'nothing'> {
  const before = (await keyObjects()).length;
  const ended = running.ended.then(() => true);
  while ((await keyObjects()).length < before + objects && !(await Promise.race([ended, sleep(1, false)])));
  await sleep(delayMs);
  running.child.kill('SIGKILL');
  const { status } = await running.ended;
  if (status === 0) return 'acknowledged';
  expect(status).toBe(137);
  return (await keyObjects()).length > before ? 'unfinished' : 'nothing';
}

test('keys that are rotated and added by processes that are killed stay open to every slot that was acknowledged', async () => {
  const random = new Random(announcedSeed('key-kills'));
  await mkdir(join(directory, 'repository'));
  const both = ['office', 'safe'] as const;
  reportOf(await (await start(both, 'repository', 'create')).ended, 'repository create');
  const outcomes: string[] = [];
  // A rotation writes a slot for each key and then the generation; scrypt takes its time before each of them.
  for (const objects of [1, 2, 1, 3]) {
    outcomes.push(await killAt(await start(both, 'key', 'rotate'), objects, random.between(0, 12)));
    for (const name of both) await expectOpens(name);
  }
  expect(outcomes).toContain('unfinished');
  const before = (await keysOf().list()).generations.length;
  expect((await keysOf(...both).rotate()).generations).toHaveLength(before + 1);

  const added = await killAt(await start(NAMES, 'key', 'add'), 1, random.between(0, 3));
  for (const name of both) await expectOpens(name);
  if (added !== 'nothing') await expectOpens('third');
  await keysOf(...NAMES).add();
  await killAt(await start(NAMES, 'key', 'rotate'), 2, random.between(0, 12));
  for (const name of NAMES) await expectOpens(name);
});
