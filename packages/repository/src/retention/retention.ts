import type { Abortable } from '@keyframe/contracts';
import type { Holds } from './hold.ts';
import type { Rebuild } from './rebuild.ts';
import type { EpochSurvey, LeaseView, Removal } from './survey.ts';
import type { Tombstones } from './tombstones.ts';

/** What is kept of a cluster and what goes. The only part of a repository that removes what a backup stored. */
export interface Retention {
  readonly tombstones: Tombstones;
  readonly holds: Holds;
  /** Lists everything of the cluster and reads every record, intent and list of packs. Oldest epoch first. */
  survey(options?: Abortable): Promise<EpochSurvey[]>;
  /** Leases of this cluster whose name continues with `prefix`, such as `backup` or `restore/`. */
  leases(prefix: string, options?: Abortable): Promise<LeaseView[]>;
  /** Removes objects. Whoever calls it has proven that nobody needs them. Repeating it is no fault. */
  remove(removal: Removal, options?: Abortable): Promise<void>;
  /** Finds backups whose record or manifest is lost, and brings them back. */
  readonly rebuild: Rebuild;
}
