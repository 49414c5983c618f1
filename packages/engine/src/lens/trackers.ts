import type { Abortable } from '@keyframe/contracts';
import type { EpochArchive } from '@keyframe/repository';
import { resumeCatalogue } from '@keyframe/wal';
import { beginTracker } from '../log/begin-tracker.ts';
import type { TrackerSource } from './run-reader.ts';

/** Trackers that begin with the catalogues of an archive's backups. */
export function trackersOf(archive: EpochArchive, options: Abortable = {}): TrackerSource {
  return { begin: (backup) => beginTracker(archive, backup, options), resume: resumeCatalogue };
}
