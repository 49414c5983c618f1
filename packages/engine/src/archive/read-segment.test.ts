import { bytesOf } from '@keyframe/contracts/streams';
import { type Compressor, hasCode } from '@keyframe/contracts';
import { openRepository } from '@keyframe/repository';
import { createMemoryStore } from '@keyframe/testkit';
import { expect, it } from 'vitest';
import { readSegment } from './read-segment.ts';

const SIZE = 2 << 20;
const NAME = '000000010000000000000001';
const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };

it('reads a segment whole, and refuses one of another size than its cluster has', async () => {
  const now = (): Date => new Date();
  const repository = openRepository({ store: createMemoryStore(), compressor: copying, compressors: [], now });
  await repository.init();
  const { wal } = await repository.cluster('main').create({ systemIdentifier: '7', postgresVersion: 180_000 });
  const content = Buffer.concat([Buffer.alloc(SIZE / 2, 'a'), Buffer.alloc(SIZE / 2, 'b')]);
  const facts = { systemIdentifier: '7', segmentSizeBytes: SIZE };
  await wal.put({ name: NAME, content: bytesOf(content), facts });
  const read = async (sizeBytes: number): Promise<Buffer> => {
    const found = await wal.get(NAME);
    if (found === undefined) throw new Error('it was archived');
    return readSegment(found, sizeBytes);
  };
  expect((await read(SIZE)).equals(content)).toBe(true);
  await expect(read(SIZE / 2)).rejects.toSatisfy((error) => hasCode(error, 'WAL_INVALID'));
});
