import { createHash, type Hash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import {
  type BackupEntry,
  type BackupStart,
  type BaseBackupResult,
  type BaseBackupSink,
  type ConnectionTarget,
  connectReplication,
  resolveConnection,
} from '../src/index.ts';

/** A connection target that nothing of this machine's user leaks into. */
export function targetOf(url: string, environment: Readonly<Record<string, string>> = {}): Promise<ConnectionTarget> {
  return resolveConnection(url, { HOME: '/nonexistent', ...environment });
}

/** Connects and asks the server who it is: proof that the login went through. */
export async function login(url: string, environment: Readonly<Record<string, string>> = {}): Promise<string> {
  await using connection = await connectReplication(await targetOf(url, environment));
  return (await connection.identifySystem()).systemIdentifier;
}

export interface Written extends BaseBackupResult {
  readonly start: BackupStart;
  readonly entries: readonly BackupEntry[];
  readonly progress: readonly number[];
}

/** Takes a base backup into `directory`; tablespaces become plain directories in it. */
export async function writeBackup(
  url: string,
  directory: string,
  options: Parameters<Awaited<ReturnType<typeof connectReplication>>['baseBackup']>[0],
): Promise<Written> {
  await using connection = await connectReplication(await targetOf(url));
  let start: BackupStart | undefined;
  const entries: BackupEntry[] = [];
  const progress: number[] = [];
  let current = -1;
  const result = await connection.baseBackup(options, {
    start: (info) => void (start = info),
    entry: (entry) => {
      entries.push(entry);
      const place = path.join(directory, entry.path);
      if (entry.type === 'file') {
        // Before PostgreSQL 15 a tablespace's directory comes before the one it lies in.
        mkdirSync(path.dirname(place), { recursive: true });
        current = openSync(place, 'wx', entry.mode);
      } else mkdirSync(place, { recursive: true, mode: entry.type === 'directory' ? entry.mode : 0o700 });
    },
    bytes: (view) => void writeSync(current, view),
    end: () => closeSync(current),
    progress: (bytes) => void progress.push(bytes),
  });
  await writeFile(path.join(directory, 'backup_manifest'), result.manifest);
  if (start === undefined) throw new Error('the backup began without its start');
  return { ...result, start, entries, progress };
}

export interface FileFacts {
  readonly mode: number;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Every file and directory below `directory`, symlinks to directories followed. */
export async function readTree(directory: string): Promise<ReadonlyMap<string, FileFacts>> {
  const tree = new Map<string, FileFacts>();
  const visit = async (relative: string): Promise<void> => {
    const absolute = path.join(directory, relative);
    const { mode, size } = await stat(absolute);
    if ((mode & 0o170000) === 0o040000) {
      tree.set(`${relative}/`, { mode: mode & 0o7777, sizeBytes: 0, sha256: '' });
      for (const name of await readdir(absolute)) await visit(path.posix.join(relative, name));
    } else {
      const sha256 = createHash('sha256')
        .update(await readFile(absolute))
        .digest('hex');
      tree.set(relative, { mode: mode & 0o7777, sizeBytes: size, sha256 });
    }
  };
  await visit('.');
  return tree;
}

/** Reads every view late, after a wait, and hashes files by what it reads then. */
export function lateHashingSink(hashes: Map<string, string>): BaseBackupSink {
  let current = '';
  let hash: Hash = createHash('sha256');
  return {
    entry: (entry) => {
      current = entry.path;
      hash = createHash('sha256');
    },
    bytes: async (view) => {
      await setImmediate();
      hash.update(view);
    },
    end: () => void hashes.set(current, hash.digest('hex')),
  };
}

/** Checksums of the server's manifest, by path. */
export function manifestChecksums(manifest: Buffer): ReadonlyMap<string, string> {
  const { Files: files } = JSON.parse(manifest.toString()) as {
    readonly Files: readonly { readonly Path: string; readonly Checksum: string }[];
  };
  return new Map(files.map((file) => [file.Path, file.Checksum]));
}

/** Changes one byte of a file in place. */
export async function flipByte(file: string, offset: number): Promise<void> {
  await using handle = await open(file, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, offset);
  byte[0] = (byte[0] ?? 0) ^ 0xff;
  await handle.write(byte, 0, 1, offset);
}
