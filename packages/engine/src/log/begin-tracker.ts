/** Begins to follow a cluster's catalogues from one of its backups. @packageDocumentation */
import { type Abortable, KeyframeError } from '@keyframe/contracts';
import type { BackupRecord, EpochArchive, RestoreSink } from '@keyframe/repository';
import { beginCatalogue, type CatalogueFiles, type CatalogueTracker, type PostgresMajor } from '@keyframe/wal';

const MAJORS: readonly PostgresMajor[] = [14, 15, 16, 17, 18];
/** Catalogues are small; what is larger is no catalogue, or one of a cluster with millions of relations. */
const LARGEST_FILE_BYTES = 64 << 20;

/**
 * A tracker that stands at the start LSN of the backup: it is to be fed all WAL from there on. Reads the few files of the backup
 * that it needs.
 * @throws {KeyframeError} KEY_REQUIRED, CORRUPT, REPOSITORY_FORMAT, UNAVAILABLE
 */
export function beginTracker(
  archive: EpochArchive,
  backup: BackupRecord,
  options: Abortable = {},
): Promise<CatalogueTracker> {
  const major = MAJORS.find((each) => each === Math.floor(archive.epoch.postgresVersion / 10_000));
  if (major === undefined)
    throw new KeyframeError('UNSUPPORTED', `WAL of PostgreSQL ${archive.epoch.postgresVersion} cannot be read`, {
      hint: 'Update keyframe on this host; `keyframe version` shows which it is.',
    });
  return beginCatalogue(major, filesOf(archive, backup, options));
}

function filesOf(archive: EpochArchive, backup: BackupRecord, options: Abortable): CatalogueFiles {
  return {
    async read(isWanted) {
      const contents = new Map<string, Buffer>();
      const sink: RestoreSink = {
        entry: () => undefined,
        write: ({ path, sizeBytes }, offset, data) => {
          const content = contents.get(path) ?? Buffer.alloc(sizeBytes);
          contents.set(path, content);
          content.set(data, offset);
        },
        zeros: ({ path, sizeBytes }) => {
          if (!contents.has(path)) contents.set(path, Buffer.alloc(sizeBytes));
        },
        done: () => undefined,
      };
      await archive.backups.read(backup, sink, {
        ...options,
        only: ({ path, sizeBytes }) => sizeBytes <= LARGEST_FILE_BYTES && isWanted(path),
      });
      return contents;
    },
  };
}
