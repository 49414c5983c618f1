import { KeyframeError, type WalFileName } from '@keyframe/contracts';
import type { Epoch } from '../cluster.ts';
import type { WalFile } from './wal-archive.ts';

/** Refuses a file that comes from elsewhere, or whose header contradicts its name. @throws {KeyframeError} */
export function assertBelongs(file: WalFile, name: WalFileName, epoch: Epoch): void {
  const { systemIdentifier, timeline, segmentSizeBytes } = file.facts;
  const details = { name: file.name, systemIdentifier, expected: epoch.systemIdentifier };
  if (systemIdentifier !== epoch.systemIdentifier)
    throw new KeyframeError('WRONG_CLUSTER', `${file.name} belongs to the cluster with another system identifier`, {
      hint: 'Check `archive_command` and `--cluster`: each cluster needs its own name in the configuration.',
      details,
    });
  if (timeline !== undefined && timeline !== name.timeline)
    throw new KeyframeError('WRONG_TIMELINE', `${file.name} holds WAL of the timeline ${timeline}`, {
      hint: 'Check that `archive_command` passes %f and %p of one file.',
      details: { ...details, timeline },
    });
  const whole = name.kind === 'segment' || name.kind === 'partial';
  if (whole && segmentSizeBytes === undefined)
    throw new KeyframeError('INTERNAL', `the segment size of ${file.name} was not given`, { details });
}
