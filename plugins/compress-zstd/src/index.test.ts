import { randomBytes } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { compressorCases, describeContract, testHost } from '@keyframe/testkit';
import { describe, expect, it, test } from 'vitest';
import { frameContentBytes, frameLength } from './frame.ts';
import plugin from './index.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);
const make = (level: number) => plugin.create({ level }, testHost());

describeContract({ describe, it }, 'compress-zstd', compressorCases, () => make(1));
describeContract({ describe, it }, 'compress-zstd at level -7', compressorCases, () => make(-7));

test('the default level is 1', async () => {
  expect(await validate({})).toEqual({ value: { level: 1 } });
});

test.each([[{ level: -1 }], [{ level: 0 }], [{ level: 20 }], [{ level: -8 }], [{ level: 1.5 }], [{ lvl: 1 }]])(
  'the options %j are refused',
  async (options) => {
    expect((await validate(options)).issues).toHaveLength(1);
  },
);

test('the JSON Schema allows what the options allow', () => {
  expect(plugin.jsonSchema?.()).toMatchObject({ additionalProperties: false, properties: { level: { default: 1 } } });
});

test('every level gives the frame of that level', async () => {
  const data = Buffer.concat(
    Array.from({ length: 40 }, (_, index) => Buffer.from(`row ${index * index} of some table; `)),
  );
  const lengths = [-7, -2, 1, 19].map(async (level) => {
    const frame = await make(level).compress(data);
    const params = { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 };
    expect(Buffer.from(frame)).toEqual(zstdCompressSync(data, { params, pledgedSrcSize: data.length }));
    return frame.length;
  });
  const [fastest = 0, , , smallest = 0] = await Promise.all(lengths);
  expect(smallest).toBeLessThan(fastest);
});

test('a frame holds its content size and a checksum', async () => {
  const frame = await make(1).compress(randomBytes(1000));
  expect(frame[4]).toBe(0x64); // single segment, two bytes of content size, checksum
  expect(zstdDecompressSync(frame)).toHaveLength(1000);
});

test('frames of many sizes come out right, many at once and one after the other', async () => {
  const compressor = make(1);
  const noise = randomBytes(3_000_000);
  const inputs = Array.from({ length: 120 }, (_, index) => {
    const data = Buffer.alloc((index * 37_123) % 1_100_000);
    if (index % 3 > 0) noise.copy(data, 0, index, index + (data.length >> (index % 3)));
    return data;
  });
  for (let at = 0; at < inputs.length; at += 12)
    await Promise.all(
      inputs.slice(at, at + 12).map(async (data) => {
        const frame = await compressor.compress(data);
        expect(zstdDecompressSync(frame).equals(data)).toBe(true);
        expect(Buffer.from(await compressor.decompress(frame, data.length)).equals(data)).toBe(true);
      }),
    );
  await compressor.close?.();
});

test('a fault leaves nothing behind for the next frame', async () => {
  const compressor = make(1);
  const data = randomBytes(50_000);
  const frame = await compressor.compress(data);
  for (let round = 0; round < 20; round += 1) {
    const damaged = Uint8Array.from(frame);
    damaged[20 + round * 1000] = (damaged[20 + round * 1000] ?? 0) ^ 1;
    await expect(compressor.decompress(damaged, data.length)).rejects.toMatchObject({ code: 'CORRUPT' });
    await expect(compressor.decompress(frame, data.length - 1)).rejects.toMatchObject({ code: 'CORRUPT' });
    expect(Buffer.from(await compressor.decompress(frame, data.length)).equals(data)).toBe(true);
  }
});

test('what was given out is never written again', async () => {
  const compressor = make(1);
  const data = Array.from({ length: 64 }, (_, index) => Buffer.alloc(256 << 10, `some row ${index} `));
  const frames: Uint8Array[] = [];
  const plain: Uint8Array[] = [];
  for (const each of data) frames.push(await compressor.compress(each));
  for (const each of frames) plain.push(await compressor.decompress(each, 256 << 10));
  expect(frames.every((frame, index) => zstdDecompressSync(frame).equals(data[index] ?? Buffer.of()))).toBe(true);
  expect(plain.every((each, index) => Buffer.from(each).equals(data[index] ?? Buffer.of()))).toBe(true);
});

test('content has memory of its own, which a reader may let go', async () => {
  const compressor = make(1);
  const frames = [];
  for (const size of [262_144, 262_144, 1_048_576, 262_144])
    frames.push([size, await compressor.compress(Buffer.alloc(size, 'x'))] as const);
  for (const [size, frame] of frames) {
    const { buffer } = await compressor.decompress(frame, size);
    expect(buffer.byteLength).toBe(size);
    if (buffer instanceof ArrayBuffer) buffer.transfer(0);
  }
});

test.each([0, 1, 300, 70_000, 131_072, 1_000_000])('the length of a frame of %i bytes is known', async (size) => {
  for (const data of [Buffer.alloc(size), randomBytes(size)]) {
    const frame = await make(1).compress(data);
    expect(frameLength(frame)).toBe(frame.length);
    expect(frameContentBytes(frame)).toBe(size);
    expect(frameLength(Buffer.concat([frame, frame]))).toBe(frame.length);
    expect(frameLength(frame.subarray(0, -1))).toBeUndefined();
  }
});

test('the length is known without content size and checksum, and of a frame with a window', () => {
  const data = randomBytes(300_000);
  const frame = zstdCompressSync(data, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } });
  expect(frameLength(frame)).toBe(frame.length);
});
