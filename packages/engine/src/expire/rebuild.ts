import { type Abortable, hasCode, isKeyframeError } from '@keyframe/contracts';
import type { ClusterHistory, LostBackup } from '@keyframe/repository';

/** What was found of a backup with a loss, and what became of it. */
export interface RebuiltBackup extends Pick<LostBackup, 'epoch' | 'label' | 'lost' | 'verdict' | 'detail'> {
  readonly outcome: 'found' | 'brought-back' | 'failed';
  readonly fault: string | undefined;
}

/**
 * Finds backups whose record or manifest is lost, and with `apply` brings back those of which a copy survives.
 * @throws {KeyframeError} REPOSITORY_MISSING, UNAVAILABLE, ACCESS_DENIED
 */
export async function rebuild(
  { history }: { readonly history: ClusterHistory },
  { apply }: { readonly apply: boolean },
  options: Abortable = {},
): Promise<RebuiltBackup[]> {
  const retention = await history.retention(options);
  const results: RebuiltBackup[] = [];
  for (const lost of await retention.rebuild.find(options)) {
    const { epoch, label, verdict, detail } = lost;
    const found = { epoch, label, lost: lost.lost, verdict, detail, outcome: 'found' as const, fault: undefined };
    if (!apply || verdict !== 'can-return') {
      results.push(found);
      continue;
    }
    try {
      await retention.rebuild.bringBack(lost, options);
      results.push({ ...found, outcome: 'brought-back' });
    } catch (error) {
      // One that cannot come back after all must not keep the others away.
      if (!isKeyframeError(error) || !hasCode(error, 'CORRUPT', 'CONFLICT')) throw error;
      results.push({ ...found, outcome: 'failed', fault: error.message });
    }
  }
  return results;
}
