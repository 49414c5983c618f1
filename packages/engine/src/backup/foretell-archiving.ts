/** Tells before the copying what would make it be in vain. @packageDocumentation */
import type { EpochArchive } from '@keyframe/repository';
import type { StageOptions } from '../events.ts';
import { createNudge } from '../server/nudge.ts';
import type { BackupContext } from './take-backup.ts';

/**
 * A warning only: what is set up wrongly, or fails now, may be repaired while the files are read, and WAL may come by
 * other ways. A command that is not ours by its text, such as a script around ours, is believed when the last file that
 * went through it is here.
 */
export async function foretellArchiving(
  { target, now, archiving: expected }: Pick<BackupContext, 'target' | 'now' | 'archiving'>,
  { wal }: Pick<EpochArchive, 'wal'>,
  options: StageOptions,
): Promise<void> {
  const nudge = createNudge({ target, now: () => now().getTime(), expected, signal: options.signal });
  const { obstacle, lastArchived, isFailing, isStreamed, state } = await nudge.archiver();
  const tell = (what: string, hint: string | undefined): void =>
    options.onEvent?.({
      kind: 'warning',
      message: `the backup needs WAL that will not reach the repository: ${what}`,
      hint,
    });
  if (isFailing === true) tell(state ?? '', 'Run `keyframe doctor`, and read the reason in the server log.');
  else if (obstacle !== undefined && isStreamed !== true) {
    const arrives = lastArchived !== undefined && (await wal.has(lastArchived, options));
    if (!arrives) tell(obstacle.what, obstacle.fix);
  }
}
