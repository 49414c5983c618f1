import { randomBytes } from 'node:crypto';
import { isKeyframeError } from '@keyframe/contracts';
import type { Lease, LeaseHolder, Repository } from '@keyframe/repository';
import { type StageOptions, warnOf } from '../events.ts';
import type { RecoveryPlan } from './plan.ts';

/** How long an expiry leaves what a restore reads from alone: recovery fetches WAL long after the restore has ended. */
const LEASE_MS = 86_400_000;

/**
 * Does `work` while expiries leave this backup and its WAL alone, and for a day after it when it went well. The lease that
 * tells them is a courtesy: where the repository cannot be written, only a warning says so.
 * @throws {KeyframeError} BACKUP_NOT_FOUND when the backup was expired since it was planned; what `work` throws
 */
export async function announceRestore<Result>(
  { repository, holder }: { readonly repository: Repository; readonly holder: LeaseHolder },
  { archive, backup }: Pick<RecoveryPlan, 'archive' | 'backup'>,
  work: () => Promise<Result>,
  options: StageOptions = {},
): Promise<Result> {
  const name = `${backup.epoch}.${backup.label.toLowerCase()}.${randomBytes(4).toString('hex')}`;
  const take = (): Promise<Lease> =>
    repository.lease(`${archive.cluster}/restore/${name}`, holder, { ttlMs: LEASE_MS, signal: options.signal });
  const lease = await orWarn(take, options);
  try {
    // Asked once the lease is there: an expiry that decides later sees it.
    await archive.backups.get(backup.label, options);
    return await work();
  } catch (error) {
    if (lease !== undefined) await orWarn(() => lease.release(), options);
    throw error;
  }
}

async function orWarn<Result>(work: () => Promise<Result>, options: StageOptions): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!isKeyframeError(error)) throw error;
    warnOf(options)(error);
    return undefined;
  }
}
