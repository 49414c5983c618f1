import { type ByteStream, hasCode, lsn } from '@keyframe/contracts';
import type { WalObjectHeader } from '@keyframe/repository';
import { expect, it } from 'vitest';
import { begun, scanSegment } from './scan-segment.ts';

const MIB = 1 << 20;
const SIZE = 4 * MIB;
const header: WalObjectHeader = {
  format: 1,
  name: '000000010000000000000001',
  kind: 'segment',
  systemIdentifier: '7',
  timeline: 1,
  segmentSizeBytes: SIZE,
  sizeBytes: SIZE,
  identity: '',
  generation: 0,
  codec: 'none',
  adoption: undefined,
};
const place = { start: lsn(BigInt(SIZE)), segmentSizeBytes: SIZE, from: lsn(BigInt(SIZE) + 40n) };
const bytes = Buffer.from(Uint8Array.from({ length: SIZE }, (_, index) => (index * 7) >> 3));

async function* chunksOf(sizes: readonly number[]): ByteStream {
  for (let at = 0, index = 0; at < SIZE; index += 1) {
    const size = sizes[index % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

it.each([[[MIB]], [[SIZE]], [[3 * MIB]], [[100_000]], [[MIB - 1, MIB + 1]], [[1, 2 * MIB, 5]]])(
  'gives the scanner the whole segment a mebibyte at a time, from chunks of %j',
  async (sizes) => {
    const seen: Uint8Array[] = [];
    const scan = (piece: Uint8Array, start: bigint, options: object): [] => {
      const at = seen.length * MIB;
      expect([start, options]).toEqual([place.start + BigInt(at), { from: place.from, more: at + MIB < SIZE }]);
      seen.push(Uint8Array.from(piece));
      return [];
    };
    await scanSegment({ scan }, { header, content: begun(chunksOf(sizes)) }, place);
    expect(seen.map(({ length }) => length)).toEqual([MIB, MIB, MIB, MIB]);
    expect(Buffer.concat(seen).equals(bytes)).toBe(true);
  },
);

it('tells nothing of a segment whose end is damaged', async () => {
  async function* broken(): ByteStream {
    yield* chunksOf([MIB]);
    throw new Error('its hash is wrong');
  }
  const scan = (): [{ kind: 'switch' } & Record<'lsn' | 'endLsn' | 'previousEndLsn', ReturnType<typeof lsn>>] => {
    const at = lsn(0n);
    return [{ kind: 'switch', lsn: at, endLsn: at, previousEndLsn: at }];
  };
  await expect(scanSegment({ scan }, { header, content: broken() }, place)).rejects.toThrow('its hash is wrong');
});

it('refuses a segment of another size than its cluster has', async () => {
  const other = { ...place, segmentSizeBytes: SIZE / 2 };
  const scanned = scanSegment({ scan: () => [] }, { header, content: chunksOf([MIB]) }, other);
  await expect(scanned).rejects.toSatisfy((error) => hasCode(error, 'WAL_INVALID'));
});

it('begins a stream before it is read, and ends it when nobody reads it', async () => {
  const steps: string[] = [];
  async function* stream(): ByteStream {
    try {
      steps.push('begun');
      yield bytes;
    } finally {
      steps.push('ended');
    }
  }
  {
    await using content = begun(stream());
    expect(steps).toEqual(['begun']);
    expect(content).toBeDefined();
  }
  expect(steps).toEqual(['begun', 'ended']);
});
