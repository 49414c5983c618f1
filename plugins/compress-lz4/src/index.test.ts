import { randomBytes } from 'node:crypto';
import { compressorCases, describeContract, testHost } from '@keyframe/testkit';
import { describe, expect, it, test } from 'vitest';
import { outlineFrame } from './frame.ts';
import plugin from './index.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);
const lz4 = () => plugin.create({}, testHost());

describeContract({ describe, it }, 'compress-lz4', compressorCases, lz4);

test('there is nothing to set, and nothing unknown is taken', async () => {
  expect(await validate({})).toEqual({ value: {} });
  expect((await validate({ level: 1 })).issues).toHaveLength(1);
});

test('a frame as the reference program writes it is read', async () => {
  // printf 'keyframe keyframe keyframe keyframe\n' | lz4 --content-size
  const frame = Buffer.from('04224d186440a7130000009f6b65796672616d65200900035072616d650a0000000008efec11', 'hex');
  expect((await lz4().decompress(frame, 36)).toString()).toBe('keyframe keyframe keyframe keyframe\n');
});

test('a frame that would grow far beyond what was asked is refused before it is decoded', async () => {
  const frame = await lz4().compress(Buffer.alloc(64 << 20));
  expect(outlineFrame(frame)?.maxContentBytes).toBeGreaterThanOrEqual(64 << 20);
  await expect(lz4().decompress(frame, 1_000)).rejects.toThrow('far more');
});

test('a frame without a checksum is refused', async () => {
  const frame = Uint8Array.from(await lz4().compress(randomBytes(1_000)));
  frame[4] = (frame[4] ?? 0) & ~0b100;
  await expect(lz4().decompress(frame.subarray(0, -4), 1_000)).rejects.toMatchObject({ code: 'CORRUPT' });
});
