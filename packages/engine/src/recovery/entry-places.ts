/**
 * Where the entries of a backup belong in a target, and the directories and links among them.
 * Nothing outside the target and the tablespace directories named for it is ever touched, whatever a manifest says.
 * @packageDocumentation
 */
import { chmod, mkdir, symlink } from 'node:fs/promises';
import { dirname, join, posix, resolve } from 'node:path';
import { KeyframeError } from '@keyframe/contracts';
import type { ManifestEntry } from '@keyframe/repository';

/** Where the links in pg_tblspc lead, by tablespace oid. */
export type TablespaceDirectories = ReadonlyMap<number, string>;

/** The file without which PostgreSQL does not start: written under this name, renamed when all else is durable. */
export const CONTROL_FILE = 'global/pg_control';
export const CONTROL_PENDING = 'global/pg_control.keyframe-pending';

const TABLESPACE_LINK = /^pg_tblspc\/([0-9]+)$/;
const TABLESPACE_MEMBER = /^pg_tblspc\/([0-9]+)\/(.+)$/;
/** PostgreSQL accepts a data directory of mode 0700 or 0750 only. */
const DIRECTORY_MODE = 0o700;

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

/**
 * Where an entry of the backup comes to lie. Members of a tablespace go straight to its directory: the server sends them before
 * the link that leads there.
 */
export function createLocator(root: string, tablespaces: TablespaceDirectories): (path: string) => string {
  return (path) => {
    const [, oid, inner] = TABLESPACE_MEMBER.exec(path) ?? [];
    const directory = oid === undefined ? undefined : tablespaces.get(Number(oid));
    if (directory !== undefined && inner !== undefined) return safeJoin(directory, inner);
    return safeJoin(root, path === CONTROL_FILE ? CONTROL_PENDING : path);
  };
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
    const mode = directoryMode(entry);
    await makeDirectory(path, mode);
    // The server does not send the data directory itself; all directories of a cluster have the same mode.
    if (entry.path === 'global') await chmod(root, mode);
    directories.add(path).add(dirname(path));
  } else if (entry.type === 'symlink') await linkTablespace(entry, place);
}

/** Group access (initdb -g) is the only other mode PostgreSQL knows. */
export const directoryMode = ({ mode }: ManifestEntry): number => ((mode & 0o050) === 0o050 ? 0o750 : DIRECTORY_MODE);

async function makeDirectory(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
  if (mode !== DIRECTORY_MODE) await chmod(path, mode);
}

/**
 * Where the link of a tablespace leads.
 * @throws {KeyframeError} CORRUPT for a link that is none of a tablespace of the backup
 */
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
