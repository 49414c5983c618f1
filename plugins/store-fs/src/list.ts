import type { Dirent, Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { assertObjectKey, type ObjectInfo } from '@keyframe/contracts';
import { RESERVED, type Root } from './root.ts';
import { ignoringSystem, symbolicLink, translated } from './system.ts';

/** Files whose metadata is asked for at a time. */
const BATCH = 64;

/** What `lstat` says of the object `key`. */
export const infoOf = (key: string, { size, mtime }: Stats): ObjectInfo => ({
  key,
  sizeBytes: size,
  modifiedAt: mtime,
});

/** With what a copy of the file does not take along, whatever it was copied with. The device has another number after a boot. */
export const placedInfoOf = (key: string, stats: Stats): ObjectInfo => ({
  ...infoOf(key, stats),
  place: `${stats.ino} ${stats.ctimeMs}`,
});

/** Objects under `prefix` in the order of their keys. Only directories that can hold such keys are read. */
export async function* listObjects(
  root: Root,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo> {
  const cut = prefix.lastIndexOf('/') + 1;
  const parent = prefix.slice(0, cut);
  if (parent !== '') assertObjectKey(parent.slice(0, -1));
  if (RESERVED.has(prefix.split('/', 1)[0] ?? '') && parent !== '') return;
  const directory = await translated({ key: prefix, path: join(root.directory, prefix) }, async () => {
    const path = join(await root.path(), parent);
    await root.assertPlain(path.replace(/\/$/, ''));
    return path;
  });
  yield* listDirectory({ directory, key: parent, signal }, prefix.slice(cut));
  // Who reads to the end concludes that there is no more.
  await root.confirm();
}

interface Level {
  readonly directory: string;
  /** Key prefix of this directory, with its trailing slash; empty for the root. */
  readonly key: string;
  readonly signal: AbortSignal | undefined;
}

async function* listDirectory(level: Level, stem: string): AsyncGenerator<ObjectInfo> {
  const entries = await readSorted(level, stem);
  for (let at = 0; at < entries.length; at += BATCH) {
    const batch = entries.slice(at, at + BATCH);
    const infos = await Promise.all(batch.map((entry) => describe(level, entry)));
    for (const [index, entry] of batch.entries()) {
      level.signal?.throwIfAborted();
      const info = infos[index];
      if (info !== undefined) yield info;
      if (!entry.isDirectory()) continue;
      const below = { directory: join(level.directory, entry.name), key: `${level.key}${entry.name}/` };
      yield* listDirectory({ ...level, ...below }, '');
    }
  }
}

/** A directory sorts with a slash after its name, so that whole keys come in order. */
const sortKey = (entry: Dirent): string => (entry.isDirectory() ? `${entry.name}/` : entry.name);

async function readSorted({ directory, key, signal }: Level, stem: string): Promise<Dirent[]> {
  signal?.throwIfAborted();
  const entries = await translated({ key, path: directory }, async () =>
    // ENOENT: never made, or removed since its parent was read.
    readdir(directory, { withFileTypes: true }).catch(ignoringSystem('ENOENT', 'ENOTDIR')),
  );
  return (entries ?? [])
    .filter(({ name }) => name.startsWith(stem) && !(key === '' && RESERVED.has(name)))
    .toSorted((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
}

async function describe({ directory, key }: Level, entry: Dirent): Promise<ObjectInfo | undefined> {
  const place = { key: key + entry.name, path: join(directory, entry.name) };
  return translated(place, async () => {
    // To leave it out in silence would be to call an object absent.
    if (entry.isSymbolicLink()) throw symbolicLink(place.path);
    if (!entry.isFile()) return undefined;
    const found = await lstat(place.path).catch(ignoringSystem('ENOENT')); // deleted since the directory was read
    return found === undefined ? undefined : placedInfoOf(place.key, found);
  });
}
