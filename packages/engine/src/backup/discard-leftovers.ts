import { type Abortable, isKeyframeError } from '@keyframe/contracts';
import type { EpochArchive, LeaseHolder } from '@keyframe/repository';
import { type StageOptions, warnOf } from '../events.ts';

/**
 * Frees what killed backups left in the store. Only those whose process is proven dead: one that was only stopped for a while
 * may still believe that it holds the lease. The caller holds it.
 */
export async function discardLeftovers(
  archive: EpochArchive,
  self: LeaseHolder,
  stateOf: (holder: LeaseHolder) => Promise<'alive' | 'dead' | 'unknown'>,
  options: StageOptions,
): Promise<void> {
  try {
    for (const { label, holder } of await archive.backups.unfinished(options)) {
      const here = holder.host === self.host && holder.bootId === self.bootId;
      if (here && (await stateOf(holder)) === 'dead') await discard(archive, label, options);
    }
  } catch (error) {
    // What is left over costs space, nothing else: it never stands in the way of a backup.
    if (!isKeyframeError(error)) throw error;
    warnOf(options)(error);
  }
}

async function discard(archive: EpochArchive, label: string, options: StageOptions & Abortable): Promise<void> {
  // What one had stored is told when something of it was taken over.
  if ((await archive.backups.discard(label, options)) === 'kept') return;
  options.onEvent?.({ kind: 'phase', phase: 'clean', message: `removed what backup ${label} left when it was killed` });
}
