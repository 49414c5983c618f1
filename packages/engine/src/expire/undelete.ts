import { type Abortable, KeyframeError } from '@keyframe/contracts';
import type { ClusterHistory, Hold, Retention, TombstoneState } from '@keyframe/repository';

/** What brings an expired backup back. */
export interface UndeleteRequest {
  readonly label: string;
  /** The policy that let it go is kept off until then; ISO 8601 in UTC. */
  readonly until: string;
}

const TRIES = 10;

/**
 * Brings an expired backup back while it is only marked, under a hold with all WAL after it.
 * @throws {KeyframeError} BACKUP_NOT_FOUND when it is not expired or its removal is decided, CONFLICT
 */
export async function undelete(
  context: { readonly history: ClusterHistory },
  { label, until }: UndeleteRequest,
  options: Abortable = {},
): Promise<Hold> {
  const retention = await context.history.retention(options);
  assertMarked((await retention.tombstones.read(options)).state, label);
  // First the hold: whatever happens then, the next expiry leaves the backup alone.
  const hold = await retention.holds.add({ label, wal: true, until, reason: 'undeleted' }, options);
  try {
    await takeBack(retention, label, options);
  } catch (error) {
    await retention.holds.remove(hold.id, options);
    throw error;
  }
  return hold;
}

async function takeBack({ tombstones }: Retention, label: string, options: Abortable): Promise<void> {
  for (let tried = 0; tried < TRIES; tried += 1) {
    const { number, state } = await tombstones.read(options);
    assertMarked(state, label);
    // Packs and WAL that only this backup needs were marked beside it. The next expiry marks again what is not needed.
    const backups = state.backups.filter(
      (each) => each.phase !== 'marked' || (each.kind !== 'packs' && each.label !== label),
    );
    if (await tombstones.follow(number, { backups, wal: [] }, options)) return;
  }
  throw new KeyframeError('CONFLICT', 'others change what of this cluster is expired at the same time', {
    hint: `Run \`keyframe undelete ${label}\` again.`,
  });
}

function assertMarked({ backups }: TombstoneState, label: string): void {
  const entry = backups.find((each) => each.label === label && each.kind === 'backup');
  if (entry?.phase === 'marked') return;
  const message =
    entry === undefined ? `there is no expired backup ${label}` : `the removal of backup ${label} has begun`;
  throw new KeyframeError('BACKUP_NOT_FOUND', message, {
    hint: 'Run `keyframe expire --dry-run`: it lists what is expired and can still be brought back.',
    details: { label },
  });
}
