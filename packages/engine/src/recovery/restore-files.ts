/** Writes the files of a backup into an empty target directory. @packageDocumentation */
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ManifestEntry, RestoreSink } from '@keyframe/repository';
import { createLocator, placeEntry, type TablespaceDirectories } from './entry-places.ts';

/** Puts the files of a backup where they belong. */
export interface FileWriter {
  readonly sink: RestoreSink;
  /** Directories that were made or written into; they are synced last. */
  readonly directories: ReadonlySet<string>;
  /** The data directory and the tablespace directories. */
  readonly roots: readonly string[];
  /** Closes what an aborted restore left open. */
  readonly close: () => Promise<void>;
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
