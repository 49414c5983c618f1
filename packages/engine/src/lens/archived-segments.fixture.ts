/** Segments full of small transactions. @packageDocumentation */
import { type Lsn, segmentName } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import type { EpochArchive } from '@keyframe/repository';
import { commitRecord, mainData, type RecordInput, WalBuilder } from '../../../wal/test/wal-builder.ts';

export const SIZE: number = 1 << 20;
/** As the pages say. */
export const SYSTEM = '7574321987654321098';
export const START = 0x40_00_00_00n;
export const TIME = 1_795_584_000_123_456n;

/** A row inserted into table 16384, large enough that records cross pages and segments. */
function inserted(xid: number, dataBytes: number): RecordInput {
  const reference = Buffer.alloc(20);
  reference.writeUInt8(0x20, 1);
  reference.writeUInt16LE(dataBytes, 2);
  for (const [at, value] of [1663, 5, 16_384, xid].entries()) reference.writeUInt32LE(value, 4 + at * 4);
  const main = mainData(Buffer.alloc(3));
  const data = Buffer.concat([reference, main.subarray(0, 2), Buffer.alloc(dataBytes), main.subarray(2)]);
  return { resourceManager: 10, info: 0, xid, data };
}

/** So many segments of transactions with one row each, xids from 700, and how many transactions began. */
export function fullSegments(count: number): {
  readonly segments: readonly { readonly start: Lsn; readonly bytes: Buffer }[];
  readonly transactions: number;
} {
  const wal = new WalBuilder({ segments: count + 1, start: START });
  const running = Buffer.alloc(24);
  for (const at of [12, 16, 20]) running.writeUInt32LE(600, at);
  wal.append({ resourceManager: 8, info: 0x10, data: mainData(running) });
  const end = START + BigInt(count * SIZE);
  let xid = 700;
  for (; wal.position < end; xid++) {
    wal.append(inserted(xid, 50_000 + (xid % 7)));
    wal.append(commitRecord(xid, TIME + BigInt(xid)));
  }
  return { segments: wal.segments().slice(0, count), transactions: xid - 700 };
}

/** Archives a segment of timeline 1. */
export async function archiveSegment(
  { wal }: Pick<EpochArchive, 'wal'>,
  { start, bytes }: { readonly start: Lsn; readonly bytes: Buffer },
  systemIdentifier: string = SYSTEM,
): Promise<void> {
  const name = segmentName(1, start / BigInt(SIZE), SIZE);
  const facts = { systemIdentifier, timeline: 1, segmentSizeBytes: SIZE };
  await wal.put({ name, content: bytesOf(bytes), facts });
}
