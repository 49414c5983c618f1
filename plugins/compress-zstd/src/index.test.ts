import { randomBytes } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { compressorCases, describeContract, testHost } from '@keyframe/testkit';
import { describe, expect, it, test } from 'vitest';
import { frameLength } from './frame.ts';
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

test.each([0, 1, 300, 70_000, 131_072, 1_000_000])('the length of a frame of %i bytes is known', async (size) => {
  for (const data of [Buffer.alloc(size), randomBytes(size)]) {
    const frame = await make(1).compress(data);
    expect(frameLength(frame)).toBe(frame.length);
    expect(frameLength(Buffer.concat([frame, frame]))).toBe(frame.length);
    expect(frameLength(frame.subarray(0, -1))).toBeUndefined();
  }
});

test('the length is known without content size and checksum, and of a frame with a window', () => {
  const data = randomBytes(300_000);
  const frame = zstdCompressSync(data, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } });
  expect(frameLength(frame)).toBe(frame.length);
});
