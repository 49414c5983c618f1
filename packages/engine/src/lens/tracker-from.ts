import type { Lsn } from '@keyframe/contracts';
import type { CatalogueTracker } from '@keyframe/wal';

/** A tracker that is given no record before `start`: what it began with is of a later time than these. */
export function trackerFrom(tracker: CatalogueTracker, start: Lsn): CatalogueTracker {
  return {
    get generation() {
      return tracker.generation;
    },
    wants: (relation) => tracker.wants(relation),
    apply: (record) => {
      if (record.lsn >= start) tracker.apply(record);
    },
    endSegment: (index) => tracker.endSegment(index),
    snapshot: () => tracker.snapshot(),
  };
}
