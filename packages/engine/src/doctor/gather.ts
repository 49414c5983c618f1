/** Collects the evidence. A fault is evidence too; only an abort and a bug end it. @packageDocumentation */
import { access, constants, realpath, stat } from 'node:fs/promises';
import { type Abortable, hasCode, isKeyframeError, KeyframeError, type Store } from '@keyframe/contracts';
import {
  connectReplication,
  connectSql,
  type ConnectionTarget,
  inspectServer,
  type ServerFacts,
} from '@keyframe/postgres';
import type { EpochArchive, Repository, WriteRule } from '@keyframe/repository';
import { isLocalTarget, patient } from '../setup/look-around.ts';
import { walFreeBytes } from '../server/wal-space.ts';
import { readArchiveCommand } from './archive-command.ts';
import type {
  ArchiveExpectation,
  Evidence,
  FileEvidence,
  Gathered,
  HostEvidence,
  MirrorEvidence,
  RepositoryEvidence,
  StoreProbe,
} from './evidence.ts';
import { probeStore } from './probe-store.ts';
import type { StorageContext } from '../storage/examine-stores.ts';

/** What is examined, and against which expectation. */
export interface GatherContext {
  /** Resolves the connection; what it raises becomes evidence. `undefined`: leave the server out. */
  readonly target: (() => Promise<ConnectionTarget>) | undefined;
  /** `undefined`: leave the repository out. */
  readonly repository: Repository | undefined;
  readonly store: Store | undefined;
  /** In place of `store` where the repository has several: each by itself, and as a repository of its own. */
  readonly mirrors?:
    | {
        readonly stores: readonly { readonly name: string; readonly store: Store; readonly repository: Repository }[];
        readonly rule: WriteRule;
      }
    | undefined;
  /** What the stores do with objects is looked at, too. */
  readonly storage?: StorageContext | undefined;
  readonly clusterName: string;
  readonly expected: ArchiveExpectation;
  /** What the configuration knows of its files. */
  readonly exposed?: Evidence['exposed'];
  /** Our clock in Unix milliseconds. */
  readonly now: () => number;
}

/** Asks server, machine and repository at once; each fault stands where its answer would. */
export async function gatherEvidence(context: GatherContext, options: Abortable = {}): Promise<Evidence> {
  const { target: resolve, repository, store } = context;
  const target = await attempt(resolve === undefined ? undefined : resolve, 'no server was named', options);
  const [server, replication, kept] = await Promise.all([
    attempt('value' in target ? () => askServer(target.value, context, options) : undefined, reasonOf(target), options),
    attempt('value' in target ? () => askReplication(target.value, options) : undefined, reasonOf(target), options),
    attempt(
      repository === undefined ? undefined : () => readKept(repository, context.clusterName, options),
      'no repository was named',
      options,
    ),
  ]);
  // An empty store may be a file system that is not mounted: nothing is written there.
  const there = 'value' in kept && kept.value.id !== undefined && store !== undefined;
  const encryption = await askKeys(repository, kept, options);
  const mirrors = await probeMirrors(context, 'value' in kept ? kept.value.id : undefined, options);
  const probed = await attempt(
    there ? () => timed(store, context.now, options) : undefined,
    'there is no repository in it',
    options,
  );
  const host =
    'value' in server && 'value' in target
      ? await gatherHost(server.value, target.value, context.expected, options)
      : ({ absent: 'the server was not asked' } as const);
  return {
    server: 'fault' in target ? target : server,
    replication,
    host,
    store: probed,
    ...(mirrors === undefined ? {} : { mirrors }),
    repository: kept,
    encryption,
    exposed: context.exposed,
  };
}

const reasonOf = (target: Gathered<unknown>): string =>
  'absent' in target ? target.absent : 'the server was not asked';

function askKeys(
  repository: Repository | undefined,
  kept: Gathered<RepositoryEvidence>,
  options: Abortable,
): Promise<Gathered<boolean>> {
  const isThere = 'value' in kept && kept.value.id !== undefined && repository !== undefined;
  return attempt(isThere ? () => repository.keys.encrypts(options) : undefined, 'there is no repository', options);
}

/** A store that is not part of the repository, such as one that is not mounted, is not written to. */
async function probeMirrors(
  { mirrors, now }: GatherContext,
  repositoryId: string | undefined,
  options: Abortable,
): Promise<MirrorEvidence | undefined> {
  if (mirrors === undefined) return undefined;
  const probe = async (store: Store, repository: Repository): Promise<StoreProbe> => {
    const { id } = await repository.identity(options);
    if (repositoryId !== undefined && id !== repositoryId)
      throw new KeyframeError('CONFLICT', `it holds repository ${id}, the others hold ${repositoryId}`, {
        hint: 'Correct `repositories.<name>.stores`: each must be empty or hold this repository.',
      });
    return timed(store, now, options);
  };
  const stores = await Promise.all(
    mirrors.stores.map(async ({ name, store, repository }) => ({
      name,
      probe: await attempt(() => probe(store, repository), 'it was not tried', options),
    })),
  );
  return { stores, rule: mirrors.rule };
}

async function attempt<T>(
  action: (() => Promise<T>) | undefined,
  absent: string,
  { signal }: Abortable,
): Promise<Gathered<T>> {
  if (action === undefined) return { absent };
  try {
    return { value: await action() };
  } catch (error) {
    signal?.throwIfAborted();
    if (!isKeyframeError(error)) throw error;
    const { code, message, hint, details } = error;
    const { sqlstate } = details;
    return { fault: { code, message, hint, sqlstate: typeof sqlstate === 'string' ? sqlstate : undefined } };
  }
}

async function askServer(target: ConnectionTarget, { now }: GatherContext, options: Abortable): Promise<ServerFacts> {
  const sql = await connectSql(patient(target), options);
  try {
    return await inspectServer(sql, { now, ...options });
  } finally {
    await sql.close();
  }
}

async function askReplication(target: ConnectionTarget, options: Abortable): Promise<{ systemIdentifier: string }> {
  const connection = await connectReplication(patient(target), options);
  try {
    const { systemIdentifier } = await connection.identifySystem();
    return { systemIdentifier };
  } finally {
    await connection.close();
  }
}

async function timed(
  store: Store,
  now: () => number,
  options: Abortable,
): Promise<{ createOnly: boolean; milliseconds: number }> {
  const start = now();
  const { createOnly } = await probeStore(store, options);
  return { createOnly, milliseconds: now() - start };
}

async function readKept(repository: Repository, clusterName: string, options: Abortable): Promise<RepositoryEvidence> {
  const nothing = { systemIdentifiers: [], backups: 0, damagedBackups: 0, newestBackup: undefined };
  let damagedBackups = 0;
  let id: string;
  try {
    ({ id } = await repository.identity(options));
  } catch (error) {
    if (hasCode(error, 'REPOSITORY_MISSING')) return { id: undefined, ...nothing };
    throw error;
  }
  const history = repository.cluster(clusterName);
  const epochs = await history.epochs(options);
  const archive = await history.newest(options);
  const records = await archive?.backups.list({ ...options, onDamage: () => (damagedBackups += 1) });
  return {
    id,
    systemIdentifiers: epochs.map(({ systemIdentifier }) => systemIdentifier),
    backups: records?.length ?? 0,
    damagedBackups,
    newestBackup: records?.at(-1)?.label,
    signing: archive && (await signingOf(archive, options)),
  };
}

async function signingOf({ chain }: EpochArchive, options: Abortable): Promise<RepositoryEvidence['signing']> {
  if ((await chain.head(options)) !== undefined) return 'signed';
  if (chain.signs) return 'begins';
  return chain.pinned ? 'awaited' : 'none';
}

/** We are on the server's machine when it is reached locally and its data directory is there. */
async function gatherHost(
  facts: ServerFacts,
  target: ConnectionTarget,
  expected: ArchiveExpectation,
  { signal }: Abortable,
): Promise<Gathered<HostEvidence>> {
  const { dataDirectory } = facts;
  if (!isLocalTarget(target)) return { absent: 'the server is on another machine' };
  if (dataDirectory === undefined) return { absent: 'data_directory is not visible to this role' };
  const directory = await absentAsUndefined(stat(dataDirectory));
  if (directory === undefined) return { absent: `${dataDirectory} is not on this machine` };
  signal?.throwIfAborted();
  const command = readArchiveCommand(facts.archiveCommand ?? '');
  const config = command.config === undefined ? [] : [command.config];
  return {
    value: {
      files: await Promise.all([
        ...command.programs.map((file) => examine(file, 'run', directory.uid)),
        ...[...command.scripts, ...config].map((file) => examine(file, 'read', directory.uid)),
      ]),
      sameConfig: command.config === undefined ? undefined : await isSameFile(command.config, expected.configFile),
      serverUid: directory.uid,
      ourUid: process.getuid?.(),
      walFreeBytes: await walFreeBytes(target, dataDirectory),
    },
  };
}

async function examine(file: string, use: 'run' | 'read', serverUid: number): Promise<FileEvidence> {
  const found = await absentAsUndefined(stat(file));
  if (found === undefined) return { path: file, problem: 'missing' };
  if (use === 'run') {
    const runs =
      found.isFile() &&
      (await access(file, constants.X_OK).then(
        () => true,
        () => false,
      ));
    return { path: file, problem: runs ? undefined : 'not executable' };
  }
  // Which groups the server is in we do not know, so a group's right counts as its.
  const readable = serverUid === 0 || ((found.uid === serverUid ? 0o400 : 0o044) & found.mode) !== 0;
  return { path: file, problem: readable ? undefined : 'not readable by the server' };
}

async function isSameFile(one: string, other: string): Promise<boolean | undefined> {
  const [left, right] = [await absentAsUndefined(realpath(one)), await absentAsUndefined(realpath(other))];
  return left === undefined || right === undefined ? undefined : left === right;
}

/** Not there, or not ours to look at. */
async function absentAsUndefined<T>(looking: Promise<T>): Promise<T | undefined> {
  try {
    return await looking;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'].includes(String(code))) return undefined;
    throw error;
  }
}
