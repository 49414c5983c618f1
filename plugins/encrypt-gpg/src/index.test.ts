import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { Secret } from '@keyframe/contracts';
import { describeContract, encryptorCases, testHost } from '@keyframe/testkit';
import { missing } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import plugin from './index.ts';

const run = promisify(execFile);
const homes: string[] = [];
const noGpg = await missing('gpg');

async function home(): Promise<string> {
  // The agent's socket lies in it, and the path of a socket must be short.
  const directory = await mkdtemp(path.join(tmpdir(), 'kfg-'));
  homes.push(directory);
  return directory;
}

const gpg = (directory: string, ...args: string[]) =>
  run('gpg', ['--homedir', directory, '--batch', '--quiet', '--no-tty', ...args], { encoding: 'buffer' });

/** A keyring with a new key; its passphrase may be empty. */
async function keyring(user: string, passphrase = ''): Promise<{ directory: string; publicKey: string }> {
  const directory = await home();
  const secret = ['--pinentry-mode', 'loopback', '--passphrase', passphrase];
  await gpg(directory, ...secret, '--quick-generate-key', user, 'future-default', 'default', 'never');
  const publicKey = path.join(directory, 'public.asc');
  await gpg(directory, '--armor', '--output', publicKey, '--export', user);
  return { directory, publicKey };
}

const recipients = ['office@example.com', 'vault@example.com'];
const make = (directory: string, passphrase?: string) =>
  plugin.create(
    {
      recipients,
      home: directory,
      passphrase: passphrase === undefined ? undefined : new Secret(passphrase),
      program: 'gpg',
    },
    testHost(),
  );

let office = '';
let vault = '';
let publicOnly = '';

beforeAll(async () => {
  if (noGpg !== undefined) return;
  const one = await keyring(recipients[0] ?? '');
  const other = await keyring(recipients[1] ?? '', 'a passphrase of its own');
  office = one.directory;
  vault = other.directory;
  publicOnly = await home();
  await gpg(office, '--import', other.publicKey);
  await gpg(publicOnly, '--import', one.publicKey, other.publicKey);
});
afterAll(async () => {
  for (const directory of homes) {
    await run('gpgconf', ['--homedir', directory, '--kill', 'all']);
    await rm(directory, { recursive: true, force: true });
  }
});

describe.skipIf(noGpg !== undefined)(`with gpg${noGpg === undefined ? '' : ` (${noGpg})`}`, () => {
  describeContract({ describe, it }, 'encrypt-gpg', encryptorCases, () => make(office));

  test('the second recipient reads by the private key of its own, whose passphrase comes by standard input', async () => {
    const wrapped = await make(publicOnly).wrap(Buffer.alloc(32, 7));
    expect(await make(vault, 'a passphrase of its own').unwrap(wrapped)).toEqual(Buffer.alloc(32, 7));
  });

  test('a wrong passphrase, and one that nobody can type, are denied', async () => {
    const wrapped = await make(publicOnly).wrap(Buffer.alloc(32, 7));
    await run('gpgconf', ['--homedir', vault, '--reload', 'gpg-agent']); // forgets what it knew
    await expect(make(vault, 'another').unwrap(wrapped)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await expect(make(vault).unwrap(wrapped)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  });

  test('without a private key it wraps and does not unwrap, and knows it', async () => {
    const encryptor = make(publicOnly);
    const wrapped = await encryptor.wrap(Buffer.alloc(32, 7));
    await expect(encryptor.unwrap(wrapped)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    expect(await encryptor.unwrapsHere?.()).toBe(false);
    expect(await make(office).unwrapsHere?.()).toBe(true);
  });

  test('a recipient whose public key is missing is named', async () => {
    const { directory } = await keyring('other@example.com');
    await expect(make(directory).wrap(Buffer.alloc(32))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  test('what it wraps is an OpenPGP message that gpg opens by itself', async () => {
    const wrapped = await make(office).wrap(Buffer.alloc(32, 7));
    const { stdout } = await testHost().exec('gpg', ['--homedir', office, '--quiet', '--decrypt'], { input: wrapped });
    expect(stdout).toEqual(Buffer.alloc(32, 7));
  });
});

test('without the program it says what to install', async () => {
  const encryptor = plugin.create(
    { recipients, home: undefined, passphrase: undefined, program: 'gpg-that-is-not-there' },
    testHost(),
  );
  await expect(encryptor.wrap(Buffer.alloc(32))).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  await expect(encryptor.unwrap(Buffer.alloc(32))).rejects.toMatchObject({ code: 'UNSUPPORTED' });
});

test.each([
  [{}],
  [{ recipients: [] }],
  [{ recipients: ['--yes'] }],
  [{ recipients, home: 'here' }],
  [{ recipients, key: 1 }],
])('the options %j are refused', async (options) => {
  expect((await plugin.options['~standard'].validate(options)).issues).toHaveLength(1);
});
