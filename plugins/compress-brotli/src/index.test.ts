import { brotliDecompressSync } from 'node:zlib';
import { compressorCases, describeContract, testHost } from '@keyframe/testkit';
import { describe, expect, it, test } from 'vitest';
import plugin from './index.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);

describeContract({ describe, it }, 'compress-brotli', compressorCases, () => plugin.create({ quality: 1 }, testHost()));

test('the default quality is 4', async () => {
  expect(await validate({})).toEqual({ value: { quality: 4 } });
});

test.each([[{ quality: -1 }], [{ quality: 12 }], [{ quality: '4' }], [{ level: 1 }]])(
  'the options %j are refused',
  async (options) => {
    expect((await validate(options)).issues).toHaveLength(1);
  },
);

test('the JSON Schema allows what the options allow', () => {
  expect(plugin.jsonSchema?.()).toMatchObject({
    additionalProperties: false,
    properties: { quality: { maximum: 11 } },
  });
});

test('before its last four bytes a frame is a plain Brotli stream, and a higher quality makes it smaller', async () => {
  const data = Buffer.from(Array.from({ length: 5_000 }, (_, index) => `row ${index * index}`).join());
  const [fast = Buffer.of(), small = Buffer.of()] = await Promise.all(
    [0, 6].map((quality) => plugin.create({ quality }, testHost()).compress(data)),
  );
  expect(brotliDecompressSync(fast.subarray(0, -4))).toEqual(data);
  expect(small.length).toBeLessThan(fast.length);
});

test('two streams in one frame are refused, of which Node would give back the first alone', async () => {
  const brotli = plugin.create({ quality: 1 }, testHost());
  const [one, other] = [await brotli.compress(Buffer.from('one')), await brotli.compress(Buffer.from('other'))];
  const joined = Buffer.concat([one.subarray(0, -4), other.subarray(0, -4), one.subarray(-4)]);
  await expect(brotli.decompress(joined, 3)).rejects.toMatchObject({ code: 'CORRUPT' });
});
