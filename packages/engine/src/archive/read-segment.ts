import { type ByteStream, KeyframeError } from '@keyframe/contracts';
import type { WalObjectHeader } from '@keyframe/repository';

/**
 * An archived segment in one buffer, which is all the memory that it takes: a segment may have a gibibyte.
 * @throws {KeyframeError} WAL_INVALID for one of another size than its cluster's, CORRUPT
 */
export async function readSegment(
  { header, content }: { readonly header: WalObjectHeader; readonly content: ByteStream },
  segmentSizeBytes: number,
): Promise<Buffer> {
  if (header.sizeBytes !== segmentSizeBytes)
    throw new KeyframeError(
      'WAL_INVALID',
      `WAL segment ${header.name} has ${header.sizeBytes} bytes in the archive, its cluster's have ${segmentSizeBytes}`,
      { hint: 'Look with `keyframe wal status` which cluster archives here; plan from a backup of the same epoch.' },
    );
  const bytes = Buffer.allocUnsafeSlow(segmentSizeBytes);
  let at = 0;
  for await (const chunk of content) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
