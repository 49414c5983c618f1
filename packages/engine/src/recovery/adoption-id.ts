/** What tells two copies of one recovery apart. @packageDocumentation */
import { randomUUID } from 'node:crypto';
import { chmod, chown, link, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TimelineId } from '@keyframe/contracts';
import { syncDirectory } from './target-directory.ts';

/**
 * The id under which this copy reserves that timeline, made when it is first asked for.
 * Copies recovered to the same moment have the same system identifier and byte for byte the same history file. The id lies
 * in pg_wal because a base backup never carries what is there: no restored copy inherits it.
 */
export async function adoptionOf(walDirectory: string, timeline: TimelineId, like: string): Promise<string> {
  const path = join(walDirectory, `keyframe-adoption-${timeline}`);
  const known = await read(path);
  if (known !== undefined) return known;
  const temporary = `${path}.${randomUUID()}.keyframe-tmp`;
  try {
    await writeLike(like, temporary, randomUUID());
    // link(2) fails when the name exists: of two that adopt at once, both go on with the id of the first.
    await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(temporary, { force: true });
  }
  await syncDirectory(walDirectory);
  return (await readFile(path, 'utf8')).trim();
}

/** Writes a file durably with owner and mode of another: what root writes, the server must be able to read. */
export async function writeLike(like: string, path: string, content: string | Uint8Array): Promise<void> {
  const { uid, gid, mode } = await stat(like);
  await writeFile(path, content, { mode: 0o600, flush: true });
  await chmod(path, mode & 0o777);
  if (process.geteuid?.() === 0) await chown(path, uid, gid);
}

async function read(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').then(
    (text) => text.trim(),
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    },
  );
}
