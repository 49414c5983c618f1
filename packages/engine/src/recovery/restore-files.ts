/** Writes the files of a backup into an empty target directory. @packageDocumentation */
import { constants, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ManifestEntry, RestoreSink } from '@keyframe/repository';
import { createLocator, placeEntry, type TablespaceDirectories } from './entry-places.ts';
import { OpenFiles } from './open-files.ts';

/** As a file is opened that this restore has created. */
const AGAIN = constants.O_WRONLY | constants.O_NOFOLLOW;

/** Puts the files of a backup where they belong. */
export interface FileWriter {
  readonly sink: RestoreSink;
  /** Directories that were made or written into; they are synced last. */
  readonly directories: ReadonlySet<string>;
  /** The data directory and the tablespace directories. */
  readonly roots: readonly string[];
  /** Makes durable what is not by now. Only then does the restore count as done. */
  readonly settle?: (() => Promise<void>) | undefined;
  /** Closes what an aborted restore left open. */
  readonly close: () => Promise<void>;
}

/** The group may read what the origin let it read; others never. */
export const fileMode = (entry: ManifestEntry): number => entry.mode & 0o640;

/**
 * Ranges up to this are written at once. By the thread pool a page would cost many times the work of writing it, and a restore
 * after many increments writes page by page.
 */
const WRITE_AT_ONCE_BYTES = 64 << 10;

/** Writes all of `data` at that place. */
export async function writeAt(handle: FileHandle, offsetBytes: number, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length;) {
    const left = data.length - at;
    at +=
      left > WRITE_AT_ONCE_BYTES
        ? (await handle.write(data, at, left, offsetBytes + at)).bytesWritten
        : writeSync(handle.fd, data, at, left, offsetBytes + at);
  }
}

/** Creates a sink that scatters verified ranges to files and syncs each file when it is complete. */
export function createFileWriter(root: string, tablespaces: TablespaceDirectories, sync: boolean): FileWriter {
  const directories = new Set<string>([root]);
  const files = new OpenFiles(sync);
  const locate = createLocator(root, tablespaces);
  /** A file is created by its first range, so only files being written are open. */
  const use = (entry: ManifestEntry, work: (handle: FileHandle) => Promise<void>): Promise<void> => {
    const path = locate(entry.path);
    directories.add(dirname(path));
    return files.use(entry.ordinal, (again) => open(path, again ? AGAIN : 'wx', fileMode(entry)), work);
  };
  const sink: RestoreSink = {
    async entry(entry) {
      await placeEntry(entry, { root, path: locate(entry.path), tablespaces, directories });
    },
    write: (file, offsetBytes, data) => use(file, (handle) => writeAt(handle, offsetBytes, data)),
    async done(file) {
      await use(file, async (handle) => {
        if (sync) await handle.sync();
      });
      await files.complete(file.ordinal);
    },
  };
  const close = (): Promise<void> => files.close();
  return { sink, directories, roots: [root, ...tablespaces.values()], close };
}
