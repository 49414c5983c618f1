import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { frameLength } from './frame.ts';
import { createZstdCompressor } from './zstd.ts';

/** As large as the buffers that outputs share. */
const SHARED_BYTES = 1 << 20;

it.each([1, 3])('a frame that ends exactly where its buffer does is one frame at level %i', async (level) => {
  const random = randomBytes(256 << 10);
  const compressor = createZstdCompressor({ level });
  const size = (await compressor.compress(random)).length;
  await compressor.close?.();

  // What cannot be made smaller has frames of a known size: the fourth fills what three have left, to the byte.
  const overhead = size - random.length;
  const last = random.subarray(0, SHARED_BYTES - 3 * size - overhead);
  const filling = createZstdCompressor({ level });
  for (let frame = 0; frame < 3; frame += 1) expect((await filling.compress(random)).length).toBe(size);
  const exact = await filling.compress(last);
  expect(exact.length).toBe(SHARED_BYTES - 3 * size);
  expect(frameLength(exact)).toBe(exact.length);
  expect(Buffer.compare(await filling.decompress(exact, last.length), last)).toBe(0);
  // And the context goes on with the next.
  const after = await filling.compress(random);
  expect(Buffer.compare(await filling.decompress(after, random.length), random)).toBe(0);
  await filling.close?.();
});
