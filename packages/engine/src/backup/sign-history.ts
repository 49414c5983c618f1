import { isKeyframeError } from '@keyframe/contracts';
import type { EpochArchive } from '@keyframe/repository';
import { type StageOptions, warnOf } from '../events.ts';

/**
 * Signs what was published and archived since the last time, where this host has a key. The backup is complete whatever
 * becomes of it: what could not be signed now is signed by the next one, and told.
 */
export async function signHistory({ chain }: EpochArchive, options: StageOptions): Promise<void> {
  try {
    await chain.checkpoint(options);
  } catch (error) {
    if (!isKeyframeError(error)) throw error;
    warnOf(options)(error);
  }
}
