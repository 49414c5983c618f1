import { type Abortable, hasCode } from '@keyframe/contracts';
import type { Repository } from '../repository.ts';

const WAL = /^clusters\/([^/]+)\/(\d+)\/wal\/(?:[0-9A-F]{8}\/[0-9A-F]{8}\/)?([^/]+(?:\.parts\/[^/]+)?)$/u;

/**
 * What a WAL object says of its content: the same for every encoding of the same file, be it compressed otherwise or
 * encrypted by another data key. `undefined` for every other object, and for one that does not tell.
 */
export async function walIdentity(
  repository: Repository,
  key: string,
  options: Abortable,
): Promise<string | undefined> {
  const [, cluster, epoch, name] = WAL.exec(key) ?? [];
  if (cluster === undefined || epoch === undefined || name === undefined) return undefined;
  try {
    const { wal } = await repository.cluster(cluster).at(Number(epoch), options);
    const header = await wal.header(name, options);
    if (header === undefined) return undefined;
    const { systemIdentifier, sizeBytes, identity, generation, adoption } = header;
    return JSON.stringify([header.name, systemIdentifier, sizeBytes, identity, generation, adoption]);
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND', 'INVALID_OPTION', 'CORRUPT', 'KEY_REQUIRED', 'KEY_WRONG')) return undefined;
    throw error;
  }
}
