/**
 * What `--delta` may take up: the stopped data directory of the very same cluster, or an unfinished restore.
 * @packageDocumentation
 */
import { open, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hasCode, KeyframeError } from '@keyframe/contracts';
import { type ControlData, readControlFile } from '@keyframe/postgres';
import { CONTROL_FILE } from './entry-places.ts';

/** The cluster whose old files may be reused. */
export interface ReusedCluster {
  readonly systemIdentifier: string;
}

/**
 * Refuses a data directory that is another cluster's, or that does not tell whose it is.
 * @throws {KeyframeError} TARGET_DIRECTORY
 */
export async function checkSameCluster(directory: string, { systemIdentifier }: ReusedCluster): Promise<void> {
  const found = await controlOf(directory);
  if (found?.systemIdentifier === systemIdentifier) return;
  const details = { directory, systemIdentifier, found: found?.systemIdentifier };
  if (found === undefined)
    throw new KeyframeError('TARGET_DIRECTORY', `${directory} does not tell whose data directory it is`, {
      hint: 'Its global/pg_control is gone or damaged. Give `--force` instead of `--delta` to delete it, or choose another directory with `--to`.',
      details,
    });
  throw new KeyframeError(
    'TARGET_DIRECTORY',
    `${directory} is the data directory of another cluster, with system identifier ${found.systemIdentifier} rather than ${systemIdentifier}`,
    { hint: 'Choose another directory with `--to`: nothing of it can be reused.', details },
  );
}

async function controlOf(directory: string): Promise<ControlData | undefined> {
  try {
    return readControlFile(await readFile(join(directory, CONTROL_FILE)));
  } catch (error) {
    if (hasCode(error, 'CORRUPT', 'UNSUPPORTED')) return undefined;
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Takes away what PostgreSQL would start with. Follows the marker of the restore, so that the directory is never taken for whole.
 * Durable when it resolves: after a loss of power the file must not stand there again, beside pages that were written over.
 */
export async function withdrawControlFile(directory: string): Promise<void> {
  const path = join(directory, CONTROL_FILE);
  await rm(path, { force: true });
  try {
    await using parent = await open(dirname(path), 'r');
    await parent.sync();
  } catch (error) {
    // An unfinished restore may not have come so far.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}
