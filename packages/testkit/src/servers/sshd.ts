import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { ensureServer, type Installation } from './install.ts';
import { type Command, type Running, startServer } from './process.ts';

const run = promisify(execFile);

/** OpenSSH: that of the machine, else Debian's package unpacked into the cache. */
export const sshd: Installation = {
  name: 'sshd-1',
  build: [
    'mkdir -p "$1/usr/sbin"; if [ -x /usr/sbin/sshd ]; then ln -s /usr/sbin/sshd "$1/usr/sbin/sshd"; else',
    'cd "$1"; fetch() { apt-get -q download openssh-server libwrap0; }; fetch || { apt-get -q update; fetch; }',
    'for package in *.deb; do dpkg -x "$package" .; done; rm ./*.deb; cd /; fi',
  ].join('\n'),
};

/** An SFTP server of its own for a test, with one user. */
export interface SshServer extends Running {
  /** Who logs in. On a machine whose tests run as root somebody without rights, else whoever runs them. */
  readonly user: string;
  /** Files of private keys; the server does not know the last. */
  readonly keys: { readonly known: string; readonly encrypted: string; readonly unknown: string };
  /** Opens `keys.encrypted`. */
  readonly passphrase: string;
  /** The user's own directory: the place for a store. */
  readonly directory: string;
  /** Its public host keys, `ssh-ed25519 AAAA…`. */
  hostKeys(): Promise<readonly string[]>;
  /** Kills it with everybody who is connected. */
  crash(): Promise<void>;
  /** Starts again on the same port, with other host keys where asked for. */
  restart(how?: { readonly newHostKeys?: boolean }): Promise<void>;
}

const PASSPHRASE = 'keyframe test';
const HOST_KEYS = ['host-ed25519', 'host-ecdsa'] as const;
/** Every Debian has this user and its group of the same number. Not `nobody`: systemd has it locked. */
const SOMEBODY = { name: 'backup', id: 34 };

/** Starts sshd, for SFTP alone. `deny`: requests that it does not offer, as `sftp-server -P` names them. */
export async function startSshd({ deny = [] }: { readonly deny?: readonly string[] } = {}): Promise<SshServer> {
  const place = await makePlace(await ensureServer(sshd));
  const command = async (port: number): Promise<Command> => {
    await writeFile(place.file('sshd_config'), configuration(place, port, deny));
    return commandOf(place);
  };
  let running = await startServer(command);
  const { port } = running;
  const crash = async (): Promise<void> => {
    // Sessions hold the listener's output open: it ends with the last of them.
    for (const pid of [running.pid, ...(await descendants(running.pid))]) kill(pid);
    await running.stop();
  };
  const stop = async (): Promise<void> => {
    await crash();
    await rm(place.data, { recursive: true, force: true });
  };
  return {
    get pid() {
      return running.pid;
    },
    port,
    user: place.stepsDown ? SOMEBODY.name : userInfo().username,
    keys: { known: place.file('known'), encrypted: place.file('encrypted'), unknown: place.file('unknown') },
    passphrase: PASSPHRASE,
    directory: place.file('home'),
    hostKeys: () =>
      Promise.all(HOST_KEYS.map(async (name) => (await readFile(place.file(`${name}.pub`), 'utf8')).trim())),
    crash,
    restart: async ({ newHostKeys = false } = {}) => {
      await crash();
      if (newHostKeys) await makeHostKeys(place);
      running = await startServer(command, port);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

interface Place {
  readonly data: string;
  /** As root it would need a user and a directory of its own, and no right would ever be missing. */
  readonly stepsDown: boolean;
  readonly file: (name: string) => string;
}

async function makePlace(home: string): Promise<Place> {
  const data = await mkdtemp(path.join(tmpdir(), 'kf-sshd-'));
  const place: Place = {
    data,
    stepsDown: process.getuid?.() === 0,
    file: (name) => path.join(data, name),
  };
  await chmod(data, 0o755);
  // The cache may lie where nobody else can look.
  await run('sh', [
    '-euc',
    'cd "$1"; cp -RL usr/sbin/sshd "$2"; cp -L usr/lib/*/libwrap.so.0 "$2" || :',
    'sh',
    home,
    data,
  ]);
  await mkdir(place.file('home'));
  await give(place, 'home');
  await Promise.all([makeKey(place, 'known'), makeKey(place, 'encrypted', PASSPHRASE), makeKey(place, 'unknown')]);
  const known = ['known.pub', 'encrypted.pub'].map((name) => readFile(place.file(name), 'utf8'));
  await writeFile(place.file('authorized'), (await Promise.all(known)).join(''));
  await makeHostKeys(place);
  return place;
}

async function makeHostKeys(place: Place): Promise<void> {
  for (const name of HOST_KEYS) {
    await Promise.all([name, `${name}.pub`].map((each) => rm(place.file(each), { force: true })));
    await makeKey(place, name, '', name.slice(name.indexOf('-') + 1));
    await give(place, name);
  }
}

async function makeKey({ file }: Place, name: string, secret = '', type = 'ed25519'): Promise<void> {
  await run('ssh-keygen', ['-q', '-t', type, '-N', secret, '-C', '', '-f', file(name)]);
}

async function give({ stepsDown, file }: Place, name: string): Promise<void> {
  if (stepsDown) await chown(file(name), SOMEBODY.id, SOMEBODY.id);
}

function commandOf({ data, stepsDown, file }: Place): Command {
  const binary = file('sshd');
  const args = ['-D', '-e', '-f', file('sshd_config')];
  const identity = [`--reuid=${SOMEBODY.id}`, `--regid=${SOMEBODY.id}`, '--clear-groups'];
  return {
    command: stepsDown ? 'setpriv' : binary,
    args: stepsDown ? [...identity, binary, ...args] : args,
    environment: { LD_LIBRARY_PATH: data },
  };
}

const configuration = ({ file }: Place, port: number, deny: readonly string[]): string => `
Port ${port}
ListenAddress 127.0.0.1
${HOST_KEYS.map((name) => `HostKey ${file(name)}`).join('\n')}
AuthorizedKeysFile ${file('authorized')}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
Subsystem sftp internal-sftp${deny.length === 0 ? '' : ` -P ${deny.join(',')}`}
ForceCommand internal-sftp${deny.length === 0 ? '' : ` -P ${deny.join(',')}`}
`;

/** Sessions are processes of their own, which the death of the listener does not end. */
async function descendants(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const children = text.split(' ').filter(Boolean).map(Number);
  return [...children, ...(await Promise.all(children.map(descendants))).flat()];
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
