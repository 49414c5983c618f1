/** Finding epochs and backups by what a user names. @packageDocumentation */
import { type Abortable, KeyframeError } from '@keyframe/contracts';
import type { BackupRecord, ClusterHistory, EpochArchive, Repository } from '@keyframe/repository';

/**
 * An epoch of a cluster: that number, or the newest.
 * @throws {KeyframeError} REPOSITORY_MISSING, NOT_FOUND
 */
export async function archiveAt(
  repository: Repository,
  clusterName: string,
  epoch: number | undefined,
  options: Abortable = {},
): Promise<EpochArchive> {
  await repository.identity(options);
  const history = repository.cluster(clusterName);
  if (epoch !== undefined) return history.at(epoch, options);
  const newest = await history.newest(options);
  if (newest !== undefined) return newest;
  const known = await repository.clusters(options);
  throw new KeyframeError('NOT_FOUND', `the repository holds nothing of cluster ${clusterName}`, {
    hint:
      known.length === 0
        ? 'Take a backup with `keyframe backup`; it archives WAL too. `keyframe doctor` tells whether archive_command works.'
        : `Check --cluster and --repository: it holds ${known.join(', ')}.`,
  });
}

/**
 * A published backup by its label, or the last one for `latest`, in any epoch.
 * @throws {KeyframeError} BACKUP_NOT_FOUND, NO_BACKUP, CORRUPT
 */
export async function findBackup(
  history: ClusterHistory,
  label: string,
  options: Abortable = {},
): Promise<{ readonly archive: EpochArchive; readonly record: BackupRecord }> {
  const labels: string[] = [];
  const damaged: KeyframeError[] = [];
  const onDamage = (fault: KeyframeError): void => void damaged.push(fault);
  for (const { number } of (await history.epochs(options)).toReversed()) {
    const archive = await history.at(number, options);
    const records = await archive.backups.list({ ...options, onDamage });
    const record = label === 'latest' ? records.at(-1) : records.find((each) => each.label === label);
    if (record !== undefined) return { archive, record };
    labels.push(...records.map((each) => each.label));
  }
  // What was asked for may be the one that is damaged.
  if (damaged[0] !== undefined) throw damaged[0];
  if (labels.length === 0)
    throw new KeyframeError('NO_BACKUP', `there is no backup of cluster ${history.name}`, {
      hint: 'Take one with `keyframe backup`.',
    });
  throw new KeyframeError(
    'BACKUP_NOT_FOUND',
    `there is no backup ${JSON.stringify(label)} of cluster ${history.name}`,
    {
      hint: `Name one of \`keyframe list\`: ${labels.slice(-5).join(', ')}.`,
    },
  );
}
