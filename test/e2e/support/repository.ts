import type { Host } from '@keyframe/contracts';
import zstd from '@keyframe/compress-zstd';
import { type EpochArchive, openRepository, type Repository } from '@keyframe/repository';
import storeFs from '@keyframe/store-fs';
import { testHost } from '@keyframe/testkit';

/** The repository in that directory, read in this process: for what no command shows. */
export function repositoryAt(directory: string, now: () => Date = () => new Date()): Repository {
  const host: Host = testHost();
  const store = storeFs.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, host);
  const compressor = zstd.create({ level: 1 }, host);
  return openRepository({ store, compressor, compressors: [compressor], now });
}

/** The newest epoch of cluster `main`. */
export async function archiveIn(directory: string): Promise<EpochArchive> {
  const archive = await repositoryAt(directory).cluster('main').newest();
  if (archive === undefined) throw new Error(`no epoch in ${directory}`);
  return archive;
}
