import { counted, isKeyframeError } from '@keyframe/contracts';
import type { BackupRecord, EpochArchive } from '@keyframe/repository';
import { type StageOptions, warnOf } from '../events.ts';
import { lockOf } from '../store/immutable.ts';

/**
 * Locks what a published backup needs, older packs too. The backup is complete whatever becomes of it: what could not be
 * locked now is locked by the next one, and told.
 */
export async function lockBackup(
  { immutableMs, now }: { readonly immutableMs?: number | undefined; readonly now: () => Date },
  { locks }: EpochArchive,
  record: BackupRecord,
  options: StageOptions,
): Promise<void> {
  if (immutableMs === undefined || locks === undefined) return;
  const [nowMs, lockMs] = [now().getTime(), lockOf(immutableMs)];
  const least = new Date(nowMs + immutableMs);
  const until = new Date(nowMs + lockMs);
  // What was written since is locked that long already.
  const writtenBefore = new Date(least.getTime() - lockMs);
  try {
    const { extended } = await locks.extend(record, { writtenBefore, least, until }, options);
    options.onEvent?.({
      kind: 'phase',
      phase: 'lock',
      message: `locked until ${until.toISOString()}: ${counted(extended, 'object')} more`,
    });
  } catch (error) {
    if (!isKeyframeError(error)) throw error;
    warnOf(options)(error);
  }
}
