import { compressorCases, describeContract, testHost } from '@keyframe/testkit';
import { describe, expect, it, test } from 'vitest';
import plugin from './index.ts';

const none = () => plugin.create({}, testHost());

describeContract({ describe, it }, 'compress-none', compressorCases, none);

test('a frame is stored as it is', async () => {
  const data = Buffer.from('as it is');
  expect(Buffer.from(await none().compress(data))).toEqual(data);
});

test('any option is refused', async () => {
  expect((await plugin.options['~standard'].validate({ level: 1 })).issues).toHaveLength(1);
  expect(await plugin.options['~standard'].validate({})).toEqual({ value: {} });
});

test('the JSON Schema allows no option', () => {
  expect(plugin.jsonSchema?.()).toMatchObject({ additionalProperties: false, properties: {} });
});
