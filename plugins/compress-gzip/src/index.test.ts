import { gunzipSync } from 'node:zlib';
import { compressorCases, describeContract, testHost } from '@keyframe/testkit';
import { describe, expect, it, test } from 'vitest';
import plugin from './index.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);

describeContract({ describe, it }, 'compress-gzip', compressorCases, () => plugin.create({ level: 1 }, testHost()));

test('the default level is 1', async () => {
  expect(await validate({})).toEqual({ value: { level: 1 } });
});

test.each([[{ level: 0 }], [{ level: 10 }], [{ level: -1 }], [{ level: '6' }], [{ quality: 1 }]])(
  'the options %j are refused',
  async (options) => {
    expect((await validate(options)).issues).toHaveLength(1);
  },
);

test('the JSON Schema allows what the options allow', () => {
  expect(plugin.jsonSchema?.()).toMatchObject({ additionalProperties: false, properties: { level: { maximum: 9 } } });
});

test('gunzip reads a frame, and a higher level makes it smaller', async () => {
  const data = Buffer.from(Array.from({ length: 5_000 }, (_, index) => `row ${index * index}`).join());
  const [fast, small] = await Promise.all([1, 9].map((level) => plugin.create({ level }, testHost()).compress(data)));
  expect(gunzipSync(fast ?? Buffer.of())).toEqual(data);
  expect(small?.length).toBeLessThan(fast?.length ?? 0);
});
