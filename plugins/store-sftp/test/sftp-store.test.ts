import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, mkdir, readdir, readFile, rename, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Host, Secret, type Store } from '@keyframe/contracts';
import { bytesOf, drain, textOf } from '@keyframe/contracts/streams';
import { describeContract, storeCases, testHost } from '@keyframe/testkit';
import { missing, needs } from '@keyframe/testkit/postgres';
import { type SshServer, startSshd } from '@keyframe/testkit/servers';
import { afterAll, afterEach, describe, expect, it, test } from 'vitest';
import plugin from '../src/index.ts';
import type { SftpStoreOptions } from '../src/options.ts';

const reason = await missing('sshd');

test('OpenSSH is there', async (context) => {
  await needs(context, 'sshd');
  expect(shared).toBeDefined();
});

const servers: SshServer[] = [];
const server = async (...how: Parameters<typeof startSshd>): Promise<SshServer> => {
  const started = await startSshd(...how);
  servers.push(started);
  return started;
};
const shared = reason === undefined ? await server() : undefined;
afterAll(() => Promise.all(servers.map((each) => each.stop())));

let made = 0;
const opened: Store[] = [];
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close?.();
});

const options = async (of: SshServer, changed: Partial<SftpStoreOptions> = {}): Promise<SftpStoreOptions> => ({
  host: '127.0.0.1',
  port: of.port,
  user: of.user,
  directory: path.join(of.directory, String((made += 1)), 'store'),
  privateKey: new Secret(await readFile(of.keys.known, 'utf8')),
  passphrase: undefined,
  password: undefined,
  agent: undefined,
  hostKeys: await of.hostKeys(),
  knownHostsText: undefined,
  acceptAnyHostKey: false,
  sync: 'required',
  channels: 4,
  fileMode: 0o640,
  directoryMode: 0o750,
  ...changed,
});

const open = async (
  of: SshServer,
  changed: Partial<SftpStoreOptions> = {},
  host: Partial<Host> = {},
): Promise<Store & { readonly directory: string }> => {
  const all = await options(of, changed);
  const store = plugin.create(all, testHost(host));
  opened.push(store);
  return { ...store, directory: all.directory };
};

const fail = (code: string, text?: RegExp): object =>
  expect.objectContaining({ code, ...(text && { message: expect.stringMatching(text) }) });

describe.skipIf(shared === undefined)('store-sftp', () => {
  const ssh = shared as SshServer;

  describeContract({ describe, it }, 'store-sftp', storeCases, () => open(ssh));

  test('an object is a file of the mode asked for, and nothing else stays', async () => {
    const store = await open(ssh, { fileMode: 0o600, directoryMode: 0o700 });
    await store.put('a/b/c', textOf('1'), { ifAbsent: true });
    const modes = await Promise.all(['a/b/c', 'a/b'].map((name) => stat(path.join(store.directory, name))));
    expect(modes.map(({ mode }) => mode & 0o777)).toEqual([0o600, 0o700]);
    expect(await readdir(store.directory)).toEqual(['.keyframe-staging', 'a']);
    await expect(store.put('a/b/c', textOf('2'), { ifAbsent: true })).rejects.toEqual(fail('ALREADY_EXISTS'));
    expect(await readdir(path.join(store.directory, '.keyframe-staging'))).toEqual([]);
  });

  test('a killed writer leaves no object, and its file goes with the first write a day later', async () => {
    const store = await open(ssh);
    await store.put('a', textOf('1'));
    const staging = path.join(store.directory, '.keyframe-staging');
    await writeFile(path.join(staging, 'old'), 'x');
    await writeFile(path.join(staging, 'new'), 'x');
    await chmod(staging, 0o777);
    const yesterday = new Date(Date.now() - 25 * 3_600_000);
    await utimes(path.join(staging, 'old'), yesterday, yesterday);
    const other = await open(ssh, { directory: store.directory });
    await other.put('b', textOf('2'));
    expect(await readdir(staging)).toEqual(['new']);
    expect((await Array.fromAsync(other.list(''))).map(({ key }) => key).toSorted()).toEqual(['a', 'b']);
  });

  test('a key that is a prefix of another is a conflict, and so is one below an object', async () => {
    const store = await open(ssh);
    await store.put('a/b', textOf('1'));
    for (const ifAbsent of [true, false]) {
      await expect(store.put('a', textOf('2'), { ifAbsent })).rejects.toEqual(fail('CONFLICT'));
      await expect(store.put('a/b/c', textOf('2'), { ifAbsent })).rejects.toEqual(fail('CONFLICT'));
    }
  });

  test('a symbolic link is no object, and not passed over in silence', async () => {
    const store = await open(ssh);
    await store.put('a', textOf('1'));
    await symlink('a', path.join(store.directory, 'link'));
    await expect(store.stat('link')).rejects.toEqual(fail('ACCESS_DENIED'));
    await expect(store.get('link')).rejects.toEqual(fail('ACCESS_DENIED'));
    await expect(Array.fromAsync(store.list(''))).rejects.toEqual(fail('ACCESS_DENIED'));
  });

  test('when the directory is taken away, nothing is called absent', async () => {
    const store = await open(ssh);
    await store.put('a', textOf('1'));
    expect(await store.stat('b')).toBeUndefined();
    await rename(store.directory, `${store.directory}-away`);
    await mkdir(store.directory);
    await expect(store.stat('a')).rejects.toEqual(fail('UNAVAILABLE', /gone or was replaced/));
    await expect(store.get('a')).rejects.toEqual(fail('UNAVAILABLE'));
    await expect(Array.fromAsync(store.list(''))).rejects.toEqual(fail('UNAVAILABLE'));
  });

  test.skipIf(process.getuid?.() !== 0)('what the user may not do is denied', async () => {
    const store = await open(ssh);
    await store.put('a', textOf('1'));
    await mkdir(path.join(store.directory, 'roots'), { mode: 0o700 });
    await expect(store.put('roots/a', textOf('1'))).rejects.toEqual(fail('ACCESS_DENIED'));
    await expect(store.get('roots/a')).rejects.toEqual(fail('ACCESS_DENIED'));
    await expect(Array.fromAsync(store.list(''))).rejects.toEqual(fail('ACCESS_DENIED'));
    await expect((await open(ssh, { directory: '/keyframe-never' })).put('a', textOf('1'))).rejects.toEqual(
      fail('ACCESS_DENIED'),
    );
  });

  test('an object of many requests comes back whole, and so does every range', async () => {
    const store = await open(ssh);
    const whole = Buffer.alloc(9_000_001);
    for (let at = 0; at < whole.length; at += 1) whole[at] = (at * 7 + (at >> 9)) & 0xff;
    const pieces = Array.from({ length: 90 }, (_, index) => whole.subarray(index * 100_001, (index + 1) * 100_001));
    await store.put('a', bytesOf(...pieces));
    expect((await drain(await store.get('a'))).equals(whole)).toBe(true);
    const range = { start: 131_071, end: 4_194_305 };
    expect((await drain(await store.get('a', { range }))).equals(whole.subarray(range.start, range.end))).toBe(true);
  });
});

describe.skipIf(shared === undefined)('who is let in', () => {
  const ssh = shared as SshServer;
  const put = async (changed: Partial<SftpStoreOptions>): Promise<void> => {
    await (await open(ssh, changed)).put('a', textOf('1'));
  };

  test('a key with a passphrase opens, and not with another or without', async () => {
    const privateKey = new Secret(await readFile(ssh.keys.encrypted, 'utf8'));
    await put({ privateKey, passphrase: new Secret(ssh.passphrase) });
    await expect(put({ privateKey, passphrase: new Secret('wrong') })).rejects.toEqual(fail('INVALID_OPTION'));
    await expect(put({ privateKey })).rejects.toEqual(fail('INVALID_OPTION'));
  });

  test('a key that the server does not know, and a password, are refused', async () => {
    const privateKey = new Secret(await readFile(ssh.keys.unknown, 'utf8'));
    await expect(put({ privateKey })).rejects.toEqual(fail('ACCESS_DENIED', /refused to log in/));
    const password = new Secret('x');
    await expect(put({ privateKey: undefined, password })).rejects.toEqual(fail('ACCESS_DENIED'));
  });

  test('an agent opens', async () => {
    const socket = path.join(path.dirname(ssh.directory), 'agent');
    const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
    try {
      const isThere = (): Promise<boolean> =>
        access(socket).then(
          () => true,
          () => false,
        );
      while (!(await isThere())) await new Promise(setImmediate);
      const add = spawn('ssh-add', ['-q', ssh.keys.known], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
      await once(add, 'close');
      await put({ privateKey: undefined, agent: socket });
    } finally {
      agent.kill();
    }
    await expect(put({ privateKey: undefined, agent: '/nowhere' })).rejects.toEqual(fail('INVALID_OPTION'));
  });

  test('the key of a known_hosts file is asked for even when the server has a better one', async () => {
    const [, ecdsa] = await ssh.hostKeys();
    await put({ hostKeys: [], knownHostsText: `[127.0.0.1]:${ssh.port} ${ecdsa}\n` });
    await expect(put({ hostKeys: [], knownHostsText: `127.0.0.1 ${ecdsa}\n` })).rejects.toEqual(
      fail('ACCESS_DENIED', /shows the host key SHA256:\S+, and `knownHosts` has none for it/),
    );
  });

  test('another host key than the pinned one is refused with both fingerprints', async () => {
    const hostKeys = [`SHA256:${'A'.repeat(43)}`];
    await expect(put({ hostKeys })).rejects.toEqual(
      fail('ACCESS_DENIED', /SHA256:(?!AAA)\S+, and expected is SHA256:AAA/),
    );
  });

  test('a port where nothing listens is unavailable', async () => {
    await expect(put({ port: 1 })).rejects.toEqual(fail('UNAVAILABLE', /cannot be reached/));
    await expect(put({ host: 'nowhere.invalid' })).rejects.toEqual(fail('UNAVAILABLE'));
  });
});

describe.skipIf(shared === undefined)('a server that goes away', () => {
  test('fails what is under way, and the next call connects again', async () => {
    const ssh = await server();
    const store = await open(ssh);
    await store.put('a', textOf('1'));
    const endless = {
      sizeBytes: undefined,
      open: async function* () {
        for (let at = 0; ; at += 1) {
          if (at === 40) await ssh.crash();
          yield Buffer.alloc(131_072);
        }
      },
    };
    await expect(store.put('b', endless)).rejects.toEqual(fail('UNAVAILABLE', /lost/));
    await expect(store.stat('a')).rejects.toEqual(fail('UNAVAILABLE', /cannot be reached/));
    await ssh.restart();
    expect(await store.stat('b')).toBeUndefined();
    expect((await drain(await store.get('a'))).toString()).toBe('1');
    expect(await readdir(path.join(store.directory, '.keyframe-staging'))).toHaveLength(1);
    await ssh.restart({ newHostKeys: true });
    await expect(store.stat('a')).rejects.toEqual(fail('ACCESS_DENIED', /SHA256:\S+, and expected is SHA256:/));
  });

  test('fails a read in the middle', async () => {
    const ssh = await server();
    const store = await open(ssh);
    await store.put('a', bytesOf(Buffer.alloc(16 << 20)));
    const read = async (): Promise<void> => {
      for await (const chunk of await store.get('a')) if (chunk.length > 0) await ssh.crash();
    };
    await expect(read()).rejects.toEqual(fail('UNAVAILABLE'));
  });

  test('whoever accepts any key takes no other one while the process lives', async () => {
    const ssh = await server();
    const warnings: string[] = [];
    const log = { ...testHost().log, warn: (text: string) => warnings.push(text) };
    const store = await open(ssh, { hostKeys: [], acceptAnyHostKey: true }, { log });
    await store.put('a', textOf('1'));
    expect(warnings).toEqual([expect.stringContaining('SHA256:')]);
    await ssh.restart({ newHostKeys: true });
    await expect(store.stat('a')).rejects.toEqual(expect.objectContaining({ code: expect.any(String) }));
    await expect(store.stat('a')).rejects.toEqual(fail('ACCESS_DENIED'));
  });
});

describe.skipIf(shared === undefined)('a server with less', () => {
  test('without fsync nothing is written, unless that was allowed', async () => {
    const ssh = await server({ deny: ['fsync'] });
    await expect((await open(ssh)).put('a', textOf('1'))).rejects.toEqual(fail('UNSUPPORTED', /cannot flush/));
    const warnings: string[] = [];
    const log = { ...testHost().log, warn: (text: string) => warnings.push(text) };
    const store = await open(ssh, { sync: 'ifOffered' }, { log });
    await store.put('a', textOf('1'));
    await store.put('b', textOf('1'));
    expect(warnings).toHaveLength(1);
  });

  describe('without hard links, renames create', async () => {
    const ssh = await server({ deny: ['hardlink', 'statvfs'] });
    describeContract({ describe, it }, 'store-sftp without hard links', storeCases, () => open(ssh, { channels: 1 }));
  });

  test('without posix-rename what exists is not replaced', async () => {
    const ssh = await server({ deny: ['posix-rename'] });
    const store = await open(ssh);
    await store.put('a', textOf('1'));
    await expect(store.put('a', textOf('2'))).rejects.toEqual(fail('UNSUPPORTED', /cannot replace/));
    expect((await drain(await store.get('a'))).toString()).toBe('1');
  });
});

test.skipIf(shared === undefined)('a writer that is killed anywhere leaves whole objects or none', async () => {
  const ssh = shared as SshServer;
  const all = await options(ssh);
  const { port, user, directory } = all;
  const script = fileURLToPath(new URL('killed-writer.ts', import.meta.url));
  const [hostKey = ''] = await ssh.hostKeys();
  const args = ['--conditions=@keyframe/source', script, String(port), user, directory, ssh.keys.known, hostKey];
  const writer = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let written = 0;
  for await (const line of writer.stdout.setEncoding('utf8')) {
    written += String(line).split('\n').length - 1;
    if (written >= 5) break;
  }
  writer.kill('SIGKILL');
  await once(writer, 'close');
  const store = await open(ssh, { directory });
  const found = await Array.fromAsync(store.list(''));
  expect(found.length).toBeGreaterThanOrEqual(written);
  for (const { key, sizeBytes } of found) {
    expect(sizeBytes).toBe(3_000_000);
    expect((await drain(await store.get(key))).every((byte) => byte === 7)).toBe(true);
  }
});
