import { statfs } from 'node:fs/promises';
import path from 'node:path';
import type { ConnectionTarget } from '@keyframe/postgres';
import { isLocalTarget } from '../setup/look-around.ts';

/** Bytes that the disk of pg_wal has left; `undefined` on another machine than the server's, or without the right to look. */
export async function walFreeBytes(
  target: ConnectionTarget,
  dataDirectory: string | undefined,
): Promise<number | undefined> {
  if (dataDirectory === undefined || !isLocalTarget(target)) return undefined;
  try {
    const { bavail, bsize } = await statfs(path.join(dataDirectory, 'pg_wal'));
    return bavail * bsize;
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) return undefined;
    throw error;
  }
}
