import { type Abortable, hasCode } from '@keyframe/contracts';
import type { ClusterHistory } from '@keyframe/repository';

/** A backup that is marked: hidden, and still there. */
export interface ExpiredBackup {
  readonly epoch: number;
  readonly label: string;
  readonly markedAt: string;
}

/** Backups that `undelete` would bring back, oldest first. Damaged tombstones tell of none. */
export async function expiredBackups(history: ClusterHistory, options: Abortable = {}): Promise<ExpiredBackup[]> {
  const { tombstones } = await history.retention(options);
  try {
    const { state } = await tombstones.read(options);
    return state.backups
      .filter(({ kind, phase }) => kind === 'backup' && phase === 'marked')
      .map(({ epoch, label, markedAt }) => ({ epoch, label, markedAt }));
  } catch (error) {
    if (!hasCode(error, 'CORRUPT')) throw error;
    return [];
  }
}
