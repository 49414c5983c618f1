import type { Abortable } from '@keyframe/contracts';
import { StoredCatalogue } from '../backup/stored-catalogue.ts';
import type { EpochArchive } from '../cluster.ts';
import type { EpochContext } from '../epoch-context.ts';
import { leasePrefix } from '../keys.ts';
import { Holds } from './hold.ts';
import { viewLeases } from './lease-views.ts';
import type { Retention } from './retention.ts';
import { StoredRebuild } from './stored-rebuild.ts';
import { removeObjects } from './stored-removal.ts';
import { type KnownUses, surveyEpoch } from './stored-survey.ts';
import type { EpochSurvey, Removal } from './survey.ts';
import { Tombstones } from './tombstones.ts';

/** An epoch of the cluster, as its parts see it and as others do. */
export interface RetainedEpoch {
  readonly context: EpochContext;
  readonly archive: EpochArchive;
}

/** Signed before the first object goes: what is gone unsigned was taken by somebody else. */
async function signRemoval(
  epochs: readonly RetainedEpoch[],
  { labels, wal }: Removal,
  options: Abortable,
): Promise<void> {
  for (const { archive } of epochs) {
    const of = (each: { readonly epoch: number }): boolean => each.epoch === archive.epoch.number;
    const backups = labels.filter(of).map(({ label }) => label);
    const files = wal.filter(of).map(({ name }) => name);
    if (backups.length + files.length > 0) await archive.chain.expire({ backups, wal: files }, options);
  }
}

/** The retention of one cluster. `epochs` lists them anew, oldest first. */
export function createRetention(
  place: Pick<EpochContext, 'store' | 'now' | 'cluster'>,
  epochs: (options: Abortable) => Promise<readonly RetainedEpoch[]>,
): Retention {
  const { store, cluster, now } = place;
  const known: KnownUses = new Map();
  const contexts = new Map<number, EpochContext>();
  const tombstones = new Tombstones(store, cluster);

  const survey = async (options: Abortable = {}): Promise<EpochSurvey[]> => {
    const surveys: EpochSurvey[] = [];
    for (const { context, archive } of await epochs(options)) {
      contexts.set(context.epoch.number, context);
      const catalogue = new StoredCatalogue(context);
      const record = catalogue.record.bind(catalogue);
      surveys.push(await surveyEpoch({ context, archive, record }, known, options));
    }
    return surveys;
  };
  const contextOf = (epoch: number): EpochContext => {
    const context = contexts.get(epoch);
    if (context === undefined) throw new RangeError(`epoch ${epoch} was not surveyed`);
    return context;
  };
  return {
    tombstones,
    holds: new Holds(store, cluster, now),
    survey,
    leases: (prefix, options = {}) => viewLeases(store, leasePrefix(cluster) + prefix, options),
    remove: async (removal, options = {}) => {
      await signRemoval(await epochs(options), removal, options);
      await removeObjects(store, cluster, removal, options);
    },
    rebuild: new StoredRebuild({ tombstones, survey, context: contextOf }),
  };
}
