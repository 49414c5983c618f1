import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Abortable } from '@keyframe/contracts';
import { readControlFile } from '@keyframe/postgres';
import type { EpochArchive, Repository } from '@keyframe/repository';
import { archiveAt } from '../catalogue.ts';

/**
 * The archive of the cluster whose data directory this is: restore_command runs in it. By hand, elsewhere, the newest epoch.
 * Another epoch's WAL would look to PostgreSQL like the end of its own.
 * @throws {KeyframeError} WRONG_CLUSTER, NOT_FOUND, CORRUPT
 */
export async function ownArchive(
  repository: Repository,
  clusterName: string,
  dataDirectory: string,
  options: Abortable = {},
): Promise<EpochArchive> {
  const control = await readFile(join(dataDirectory, 'global', 'pg_control')).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
  if (control === undefined) return archiveAt(repository, clusterName, undefined, options);
  await repository.identity(options);
  return repository.cluster(clusterName).find(readControlFile(control).systemIdentifier, options);
}
