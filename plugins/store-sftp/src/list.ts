import { assertObjectKey, type ObjectInfo } from '@keyframe/contracts';
import type { Channel } from './channel.ts';
import type { Connection } from './connection.ts';
import { ignoringStatus, Status, translated } from './faults.ts';
import { RESERVED, type Root, symbolicLink } from './root.ts';

/** Directories that are read at a time: each costs some round trips. */
const AT_ONCE = 8;
const TYPE_MASK = 0o170_000;
const DIRECTORY = 0o040_000;
const FILE = 0o100_000;
const LINK = 0o120_000;

/** What is known of a file. The protocol tells times in seconds. */
export const infoOf = (
  key: string,
  { size, mtime }: { readonly size: number; readonly mtime: number },
): ObjectInfo => ({
  key,
  sizeBytes: size,
  modifiedAt: new Date(mtime * 1000),
});

interface Level {
  readonly objects: readonly ObjectInfo[];
  /** Key prefixes with their slash. */
  readonly below: readonly string[];
}

/** Objects under `prefix`. Only directories that can hold such keys are read, each to its end. */
export async function* listObjects(
  connection: Connection,
  root: Root,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo> {
  signal?.throwIfAborted();
  const cut = prefix.lastIndexOf('/') + 1;
  const parent = prefix.slice(0, cut);
  if (parent !== '') assertObjectKey(parent.slice(0, -1));
  if (RESERVED.has(prefix.split('/', 1)[0] ?? '') && parent !== '') return;
  const read = (key: string, stem: string): Promise<Level> => {
    const level = connection.use((channel) => readLevel(channel, root, key, stem, signal), { signal });
    level.catch(() => undefined); // heard of when its turn comes, if it comes
    return level;
  };
  const waiting: string[] = [];
  const reading: Promise<Level>[] = [read(parent, prefix.slice(cut))];
  for (let level = reading.shift(); level !== undefined; level = reading.shift()) {
    const { objects, below } = await level;
    waiting.push(...below.toReversed());
    // The deepest first, so that no more wait than one way down has.
    while (reading.length < AT_ONCE) {
      const next = waiting.pop();
      if (next === undefined) break;
      reading.push(read(next, ''));
    }
    for (const object of objects) {
      signal?.throwIfAborted();
      yield object;
    }
  }
  // Who reads to the end concludes that there is no more.
  await connection.use((channel) => root.confirm(channel), { signal });
}

async function readLevel(
  channel: Channel,
  root: Root,
  key: string,
  stem: string,
  signal: AbortSignal | undefined,
): Promise<Level> {
  const path = `${root.directory}/${key}`.replace(/(?<=.)\/$/, '');
  const objects: ObjectInfo[] = [];
  const below: string[] = [];
  await translated({ key, path }, async () => {
    // Not there: never made, or removed since what is above it was read.
    const handle = await channel.openDirectory(path, { signal }).catch(ignoringStatus(Status.NO_SUCH_FILE));
    if (handle === undefined) return;
    try {
      for (;;) {
        const entries = await channel.readDirectory(handle, { signal });
        if (entries.length === 0) return;
        for (const { filename: name, attrs } of entries) {
          if (!name.startsWith(stem) || name === '.' || name === '..' || (key === '' && RESERVED.has(name))) continue;
          const type = attrs.mode & TYPE_MASK;
          // To leave it out in silence would be to call an object absent.
          if (type === LINK) throw symbolicLink({ key: key + name, path: `${path}/${name}` });
          if (type === DIRECTORY) below.push(`${key}${name}/`);
          if (type === FILE) objects.push(infoOf(key + name, attrs));
        }
      }
    } finally {
      if (channel.alive) await channel.close(handle);
    }
  });
  return { objects, below };
}
