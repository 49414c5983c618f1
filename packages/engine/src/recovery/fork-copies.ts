import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Abortable, KeyframeError } from '@keyframe/contracts';
import type { EpochArchive } from '@keyframe/repository';
import type { WalPath } from './wal-path.ts';

/**
 * Puts every segment with a fork into pg_wal under its older timelines' names too.
 *
 * Recovery fetches the child's copy alone. At the record that begins the child, a hot standby reads back the two-phase
 * transactions that are still prepared, yet it looks for them on the timeline it is just leaving: with the parent's file
 * absent it ends with "requested WAL segment … has already been removed", every time. PostgreSQL 14 to 18 do so. What both
 * copies hold before the fork is the same, and recovery never reads the older name beyond it.
 *
 * They are marked as archived: a checkpoint after `keyframe adopt` would else hand them to archive_command, for ever, since the
 * archive holds the parent's own file under that name.
 * @see StandbyRecoverPreparedTransactions() in src/backend/access/transam/twophase.c
 * @see XLogArchiveCheckDone() in src/backend/access/transam/xlogarchive.c
 */
export async function placeForkCopies(
  { archive, wal }: { readonly archive: EpochArchive; readonly wal: WalPath },
  { directory, sync }: { readonly directory: string; readonly sync: boolean },
  options: Abortable = {},
): Promise<void> {
  const status = join(directory, 'pg_wal', 'archive_status');
  if (wal.forks.length > 0) await mkdir(status, { recursive: true, mode: 0o700 });
  for (const { name, copyOf } of wal.forks) {
    const endBytes = wal.segments.find((each) => each.name === copyOf)?.endBytes;
    const found = await (endBytes === undefined
      ? archive.wal.get(copyOf, options)
      : archive.wal.getStreamed(copyOf, endBytes, options));
    if (found === undefined)
      throw new KeyframeError('WAL_GAP', `WAL segment ${copyOf} was listed and is gone now`, {
        hint: 'Run `keyframe wal status`; something removes objects from the store while Keyframe reads it.',
        details: { name: copyOf },
      });
    await using handle = await open(join(directory, 'pg_wal', name), 'wx', 0o600);
    for await (const chunk of found.content) await handle.writeFile(chunk);
    if (sync) await handle.sync();
    await writeFile(join(status, `${name}.done`), '', { mode: 0o600 });
  }
}
