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
  if (isSegment(name) && segmentSizeBytes === undefined)
    throw new KeyframeError('INTERNAL', `the segment size of ${file.name} was not given`, { details });
}

/** Refuses a file whose length is not the one that was announced, or that its header tells. @throws {KeyframeError} */
export function assertWhole(file: WalFile, name: WalFileName, sizeBytes: number): void {
  const { segmentSizeBytes } = file.facts;
  const expected = isSegment(name) ? segmentSizeBytes : file.content.sizeBytes;
  if (sizeBytes === (expected ?? sizeBytes) && sizeBytes === (file.content.sizeBytes ?? sizeBytes)) return;
  throw new KeyframeError('WAL_INVALID', `${file.name} has ${sizeBytes} bytes, not ${expected}`, {
    hint: 'Check `archive_command`: it must name a complete file of pg_wal by %p.',
    details: { name: file.name, sizeBytes, expected },
  });
}

function isSegment({ kind }: WalFileName): boolean {
  return kind === 'segment' || kind === 'partial';
}
