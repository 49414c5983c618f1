/**
 * Running PostgreSQL's programs, which refuse to run as root.
 *
 * As root there are two ways. A user namespace lets the program believe it is an ordinary user while all files stay ours:
 * nothing has to be handed over. Where that is not allowed the program really becomes another user, who then must own
 * the data directory and be able to reach it.
 * @packageDocumentation
 */
import { type ChildProcess, execFile, spawn, type StdioOptions } from 'node:child_process';
import { chown, lchown, mkdir, opendir, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { type Abortable, KeyframeError } from '@keyframe/contracts';
import type { Environment } from '../connection/target.ts';

const run = promisify(execFile);

/** How programs are started so that PostgreSQL accepts it. */
export interface Runner {
  readonly kind: 'as-we-are' | 'user-namespace' | 'other-user';
  /** For people: what is done and what it means for files. */
  readonly description: string;
  /** Words in front of the command. The pid stays that of the program, which replaces them. */
  readonly prefix: readonly string[];
  /** Whom the program becomes, for `other-user`. */
  readonly identity: { readonly uid: number; readonly gid: number } | undefined;
}

/** For which data directory, and by which ways. */
export interface FindRunnerOptions extends Abortable {
  /** A data directory of another user's is run as that user. */
  readonly dataDirectory?: string | undefined;
  /** Leave the namespace out of consideration. Default false. */
  readonly withoutNamespace?: boolean | undefined;
}

const NAMESPACE = ['unshare', '--user', '--map-user=1000', '--map-group=1000'] as const;
/** Where there is no postgres user: the overflow id, which owns nothing. */
const NOBODY = { uid: 65_534, gid: 65_534 };

/**
 * Says how to run PostgreSQL here.
 * @throws {KeyframeError} SERVER_REFUSED when the data directory belongs to someone we cannot become.
 */
export async function findRunner(options: FindRunnerOptions = {}): Promise<Runner> {
  const us = process.getuid?.();
  const owner = options.dataDirectory === undefined ? undefined : await ownerOf(options.dataDirectory);
  if (us !== 0) {
    if (us !== undefined && owner !== undefined && owner.uid !== us)
      throw foreign(options.dataDirectory ?? '', owner.uid);
    return { kind: 'as-we-are', description: 'as the current user', prefix: [], identity: undefined };
  }
  if (owner !== undefined && owner.uid !== 0)
    return asUser(owner, `as the owner of the data directory (uid ${owner.uid})`);
  if (options.withoutNamespace !== true && (await succeeds(NAMESPACE, options)))
    return {
      kind: 'user-namespace',
      description: 'as uid 1000 of a user namespace, since PostgreSQL refuses root; files stay owned by root',
      prefix: NAMESPACE,
      identity: undefined,
    };
  const user = (await lookUp('postgres', options)) ?? NOBODY;
  return asUser(user, `as uid ${user.uid}, since PostgreSQL refuses root; its files are handed to that user`);
}

function asUser(identity: { readonly uid: number; readonly gid: number }, description: string): Runner {
  return { kind: 'other-user', description, prefix: [], identity };
}

function foreign(dataDirectory: string, uid: number): KeyframeError {
  return new KeyframeError(
    'SERVER_REFUSED',
    `${dataDirectory} belongs to uid ${uid}, and only its owner may start it`,
    {
      hint: 'Run keyframe as the owner of the data directory, e.g. with `sudo -u postgres`.',
      details: { dataDirectory, uid },
    },
  );
}

async function ownerOf(directory: string): Promise<{ readonly uid: number; readonly gid: number } | undefined> {
  try {
    const { uid, gid } = await stat(directory);
    return { uid, gid };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A program that is missing or not allowed answers no; only an abort is a fault. */
async function succeeds(words: readonly string[], { signal }: Abortable): Promise<boolean> {
  const [command = 'true', ...args] = words;
  return run(command, [...args, 'true'], { signal }).then(
    () => true,
    () => {
      signal?.throwIfAborted();
      return false;
    },
  );
}

async function lookUp(name: string, { signal }: Abortable): Promise<typeof NOBODY | undefined> {
  const id = async (flag: string): Promise<number | undefined> =>
    run('id', [flag, name], { signal }).then(
      ({ stdout }) => Number(stdout.trim()),
      () => {
        signal?.throwIfAborted();
        return undefined;
      },
    );
  const [uid, gid] = [await id('-u'), await id('-g')];
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

/** How a program is started. */
export interface SpawnOptions {
  readonly runner: Runner;
  /** The whole environment of the program. Variables that would steer PostgreSQL's programs are left out. */
  readonly environment: Environment;
  readonly stdio: StdioOptions;
  /** In a session of its own, so that it outlives us. Default false. */
  readonly detached?: boolean | undefined;
}

/** Starts a program. The caller owns the child. */
export function spawnWith(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const [first = command, ...rest] = [...options.runner.prefix, command, ...args];
  const environment = Object.entries(options.environment).filter(([name]) => !/^(?:PG|LC_|LANG)/.test(name));
  return spawn(first, rest, {
    // Our own directory may be closed to the other user.
    cwd: '/',
    env: { ...Object.fromEntries(environment), LC_ALL: 'C' },
    stdio: options.stdio,
    detached: options.detached ?? false,
    ...options.runner.identity,
  });
}

/** Makes a private directory that the program may use as its own. */
export async function makeDirectory(directory: string, { identity }: Runner): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if (identity !== undefined) await chown(directory, identity.uid, identity.gid);
}

/** Hands a tree to the user the program becomes. Does nothing for the other kinds of runner. Links are not followed. */
export async function handOver(directory: string, runner: Runner): Promise<void> {
  const { identity } = runner;
  if (identity === undefined) return;
  await lchown(directory, identity.uid, identity.gid);
  for await (const entry of await opendir(directory)) {
    const inner = path.join(directory, entry.name);
    if (entry.isDirectory()) await handOver(inner, runner);
    else await lchown(inner, identity.uid, identity.gid);
  }
}
