import type { Stats } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import path from 'node:path';
import { KeyframeError } from '@keyframe/contracts';
import { excludedNames, isEmptied, walDirectories } from './exclusions.ts';
import { fileFault, isAbsent } from './file-fault.ts';
import { CONTROL_FILE } from './local-file.ts';
import type { LocalEntry, WalkOptions } from './types.ts';

/** What a walk needs to know of the cluster. */
export interface DataDirectory {
  /** Absolute, links resolved. */
  readonly root: string;
  readonly major: number;
  readonly catalogVersion: number;
  readonly tablespaces: readonly { readonly oid: number; readonly location: string }[];
  /** `stats_temp_directory` of PostgreSQL 14, relative to the data directory; its content is left out. */
  readonly statsDirectory: string | undefined;
}

/** So many files are asked for their size at once. */
const AT_ONCE = 64;
/** Without these there is no data directory. */
const REQUIRED: ReadonlySet<string> = new Set(['.', 'base', 'global', 'pg_tblspc']);
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Members of the data directory and its tablespaces in the order that {@link LocalBackup.entries} promises. */
export async function* walkDataDirectory(place: DataDirectory, options: WalkOptions): AsyncGenerator<LocalEntry> {
  const walk = new Walk(place, options);
  for (const directory of REQUIRED) await walk.required(directory);
  for (const { oid } of place.tablespaces) yield* walk.tablespace(oid);
  yield* walk.content('.');
  const control = await walk.required(CONTROL_FILE);
  yield walk.file(CONTROL_FILE, control);
}

class Walk {
  readonly #place: DataDirectory;
  readonly #options: WalkOptions;

  constructor(place: DataDirectory, options: WalkOptions) {
    this.#place = place;
    this.#options = options;
  }

  /** Only the directory of this major and catalogue version is the cluster's; others may share the tablespace's place. */
  async *tablespace(oid: number): AsyncGenerator<LocalEntry> {
    const { major, catalogVersion } = this.#place;
    const link = `pg_tblspc/${oid}`;
    const directory = `${link}/PG_${major}_${catalogVersion}`;
    const stats = await this.member(directory);
    if (stats?.isDirectory() === true) {
      yield entryOf(directory, 'directory', stats);
      yield* this.content(directory);
      return;
    }
    // Dropped meanwhile: then its link is gone as well.
    if ((await this.member(link)) === undefined) return;
    throw new KeyframeError('NOT_FOUND', `the tablespace ${oid} has no ${path.join(this.#place.root, directory)}`, {
      hint: 'Mount the tablespace where `select pg_tablespace_location(oid) from pg_tablespace` says it is.',
    });
  }

  async *content(directory: string): AsyncGenerator<LocalEntry> {
    const names = await this.#list(directory);
    const excluded = excludedNames(directory, names, this.#place.major);
    const paths = names
      .filter((name) => !excluded.has(name))
      .toSorted()
      .map((name) => (directory === '.' ? name : `${directory}/${name}`));
    for (let start = 0; start < paths.length; start += AT_ONCE) {
      this.#options.signal?.throwIfAborted();
      const some = paths.slice(start, start + AT_ONCE);
      const stats = await Promise.all(some.map((each) => this.member(each)));
      // Only a few at once are described: what is read late is described as it is then.
      for (const [index, each] of some.entries()) {
        const found = stats[index];
        if (found !== undefined) yield* this.#visit(each, found);
      }
    }
  }

  async *#visit(member: string, stats: Stats): AsyncGenerator<LocalEntry> {
    const name = path.posix.basename(member);
    const isDirectory = stats.isDirectory();
    if (member === CONTROL_FILE) return;
    if (member === 'pg_wal') {
      yield await this.#emptied(member, stats);
      for (const each of walDirectories(this.#place.major)) yield await this.#emptied(`${member}/${each}`, stats);
    } else if ((isDirectory || stats.isSymbolicLink()) && this.#isEmptied(member, name)) {
      yield await this.#emptied(member, stats);
    } else if (isDirectory) {
      yield entryOf(member, 'directory', stats);
      if (!this.#isTablespace(member)) yield* this.content(member);
    } else if (stats.isFile()) {
      yield this.file(member, stats);
    } else if (stats.isSymbolicLink() && path.posix.dirname(member) === 'pg_tblspc') {
      yield* this.#link(member, name, stats);
    } else this.#options.onSkipped?.(member);
  }

  #isEmptied(member: string, name: string): boolean {
    return isEmptied(name) || member === this.#place.statsDirectory;
  }

  /** Its members come with the tablespace: one that is in place, or that somebody put within the data directory. */
  #isTablespace(member: string): boolean {
    const { root, tablespaces } = this.#place;
    return tablespaces.some(({ location }) => path.resolve(root, location) === path.join(root, member));
  }

  /** Where the directory is a link (a volume of its own), the backup has a plain directory. */
  async #emptied(member: string, stats: Stats): Promise<LocalEntry> {
    const root = stats.isDirectory() ? stats : await lstat(this.#place.root);
    return { ...entryOf(member, 'directory', stats), mode: root.mode & 0o7777 };
  }

  /** A tablespace made since the backup began is left to replay. */
  async *#link(member: string, name: string, stats: Stats): AsyncGenerator<LocalEntry> {
    const known = this.#place.tablespaces.some(({ oid }) => String(oid) === name);
    if (!known) return;
    try {
      const linkTarget = await readlink(path.join(this.#place.root, member));
      yield { ...entryOf(member, 'symlink', stats), linkTarget };
    } catch (error) {
      if (!isAbsent(error)) throw fileFault(error, member);
    }
  }

  file(member: string, stats: Stats): LocalEntry {
    return { ...entryOf(member, 'file', stats), source: path.join(this.#place.root, member) };
  }

  /** `undefined` when it is gone. */
  async member(member: string): Promise<Stats | undefined> {
    const absolute = path.join(this.#place.root, member);
    try {
      return await lstat(absolute);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw fileFault(error, absolute);
    }
  }

  /** @throws {KeyframeError} NOT_FOUND */
  async required(member: string): Promise<Stats> {
    const stats = await this.member(member);
    if (stats !== undefined) return stats;
    throw new KeyframeError('NOT_FOUND', `${path.join(this.#place.root, member)} does not exist`, {
      hint: 'Look into the server log: PostgreSQL cannot run without it; `show data_directory` tells where it works.',
    });
  }

  async #list(directory: string): Promise<readonly string[]> {
    const absolute = path.join(this.#place.root, directory);
    try {
      const names = await readdir(absolute, { encoding: 'buffer' });
      return names.map((name) => decodeName(name, absolute));
    } catch (error) {
      // A database may be dropped while its directory is about to be read.
      if (isAbsent(error) && !REQUIRED.has(directory)) return [];
      throw fileFault(error, absolute);
    }
  }
}

function entryOf(member: string, type: LocalEntry['type'], stats: Stats): LocalEntry {
  return {
    path: member,
    type,
    mode: stats.mode & 0o7777,
    modifiedAtSeconds: Math.floor(stats.mtimeMs / 1000),
    sizeBytes: type === 'file' ? stats.size : 0,
    source: undefined,
  };
}

/** A name changed by decoding would name another file, or none: what it holds would be missing from the backup. */
function decodeName(name: Buffer, directory: string): string {
  try {
    return decoder.decode(name);
  } catch (cause) {
    throw new KeyframeError('UNSUPPORTED', `a file name in ${directory} is not UTF-8: ${name.toString('latin1')}`, {
      cause,
      hint: 'Rename or remove that file in the data directory; PostgreSQL makes none like it. Find it by `ls -b`.',
    });
  }
}
