/**
 * Writes the files of a backup into a target directory.
 * Nothing outside the target and the tablespace directories named for it is ever written, whatever a manifest says.
 * @packageDocumentation
 */
import { chmod, type FileHandle, mkdir, open, symlink } from 'node:fs/promises';
import { dirname, join, posix, resolve } from 'node:path';
import { KeyframeError } from '@keyframe/contracts';
import type { ManifestEntry, RestoreSink } from '@keyframe/repository';

/** Where the links in pg_tblspc lead, by tablespace oid. */
export type TablespaceDirectories = ReadonlyMap<number, string>;

/** The file without which PostgreSQL does not start: written under this name, renamed when all else is durable. */
export const CONTROL_FILE = 'global/pg_control';
export const CONTROL_PENDING = 'global/pg_control.keyframe-pending';

const TABLESPACE_LINK = /^pg_tblspc\/([0-9]+)$/;
const TABLESPACE_MEMBER = /^pg_tblspc\/([0-9]+)\/(.+)$/;
/** PostgreSQL accepts a data directory of mode 0700 or 0750 only. */
const DIRECTORY_MODE = 0o700;

export interface FileWriter {
  readonly sink: RestoreSink;
  /** Directories that were made or written into; they are synced last. */
  readonly directories: ReadonlySet<string>;
  /** The data directory and the tablespace directories. */
  readonly roots: readonly string[];
  /** Closes what an aborted restore left open. */
  readonly close: () => Promise<void>;
}

/** @throws {KeyframeError} CORRUPT for a path that leaves the target. */
export function safeJoin(root: string, path: string): string {
  const plain =
    path !== '' && !path.startsWith('/') && !path.includes('\0') && posix.normalize(path) === path.replace(/\/$/, '');
  if (!plain || path.split('/').includes('..'))
    throw new KeyframeError('CORRUPT', `the backup names a file outside the data directory: ${JSON.stringify(path)}`, {
      hint: 'Do not trust this backup; restore an older one with `--backup` (`keyframe list`).',
    });
  return join(root, path);
}

/** Where an entry of the backup comes to lie. Members of a tablespace go straight to its directory: the server sends them before the link that leads there. */
export function createLocator(root: string, tablespaces: TablespaceDirectories): (path: string) => string {
  return (path) => {
    const [, oid, inner] = TABLESPACE_MEMBER.exec(path) ?? [];
    const directory = oid === undefined ? undefined : tablespaces.get(Number(oid));
    if (directory !== undefined && inner !== undefined) return safeJoin(directory, inner);
    return safeJoin(root, path === CONTROL_FILE ? CONTROL_PENDING : path);
  };
}

/** The group may read what the origin let it read; others never. */
export const fileMode = (entry: ManifestEntry): number => entry.mode & 0o640;

/** Writes all of `data` at that place. */
export async function writeAt(handle: FileHandle, offsetBytes: number, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length;) {
    const { bytesWritten } = await handle.write(data, at, data.length - at, offsetBytes + at);
    at += bytesWritten;
  }
}

/** Creates a sink that scatters verified ranges to files and syncs each file when it is complete. */
export function createFileWriter(root: string, tablespaces: TablespaceDirectories, sync: boolean): FileWriter {
  const directories = new Set<string>([root]);
  const files = new Map<number, Promise<FileHandle>>();
  const locate = createLocator(root, tablespaces);
  /** A file is created by its first range, so only the files being written are open. */
  const opened = (entry: ManifestEntry): Promise<FileHandle> => {
    const known = files.get(entry.ordinal);
    if (known !== undefined) return known;
    const path = locate(entry.path);
    directories.add(dirname(path));
    const handle = open(path, 'wx', fileMode(entry));
    files.set(entry.ordinal, handle);
    return handle;
  };
  const sink: RestoreSink = {
    async entry(entry) {
      await placeEntry(entry, { root, path: locate(entry.path), tablespaces, directories });
    },
    async write(file, offsetBytes, data) {
      await writeAt(await opened(file), offsetBytes, data);
    },
    async done(file) {
      const handle = await opened(file);
      files.delete(file.ordinal);
      try {
        if (sync) await handle.sync();
      } finally {
        await handle.close();
      }
    },
  };
  const close = async (): Promise<void> => {
    for (const handle of await Promise.allSettled(files.values()))
      if (handle.status === 'fulfilled') await handle.value.close();
    files.clear();
  };
  return { sink, directories, roots: [root, ...tablespaces.values()], close };
}

interface Place {
  readonly root: string;
  readonly path: string;
  readonly tablespaces: TablespaceDirectories;
  readonly directories: Set<string>;
}

/** Makes a directory or a link; files are made by their content. */
export async function placeEntry(entry: ManifestEntry, place: Place): Promise<void> {
  const { root, path, directories } = place;
  if (entry.type === 'directory') {
    await makeDirectory(path, entry.mode);
    // The server does not send the data directory itself; all directories of a cluster have the same mode.
    if (entry.path === 'global') await makeDirectory(root, entry.mode);
    directories.add(path).add(dirname(path));
  } else if (entry.type === 'symlink') await linkTablespace(entry, place);
}

async function makeDirectory(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
  // Group access (initdb -g) is the only other mode PostgreSQL knows.
  if ((mode & 0o050) === 0o050) await chmod(path, 0o750);
}

/** Where the link of a tablespace leads. @throws {KeyframeError} CORRUPT for a link that is none of a tablespace of the backup */
export function linkTarget(entry: ManifestEntry, tablespaces: TablespaceDirectories): string {
  const oid = TABLESPACE_LINK.exec(entry.path)?.[1];
  const target = oid === undefined ? undefined : tablespaces.get(Number(oid));
  if (target === undefined)
    throw new KeyframeError('CORRUPT', `the backup has an unexpected symbolic link at ${entry.path}`, {
      hint: 'Do not trust this backup; restore an older one with `--backup` (`keyframe list`).',
    });
  return resolve(target);
}

async function linkTablespace(
  entry: ManifestEntry,
  { path, tablespaces, directories }: Omit<Place, 'root'>,
): Promise<void> {
  const directory = linkTarget(entry, tablespaces);
  await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
  await chmod(directory, DIRECTORY_MODE);
  await mkdir(dirname(path), { recursive: true, mode: DIRECTORY_MODE });
  await symlink(directory, path);
  directories.add(directory).add(dirname(path));
}
