import { describe, expect, it } from 'vitest';
import { configurationJsonSchema } from './json-schema.ts';

describe('the JSON Schema', () => {
  const schema = configurationJsonSchema(
    '/nowhere/keyframe.yaml',
    { store: ['fs', 'no-such'], compressor: ['zstd'] },
    { pluginRoots: [new URL(import.meta.url)], conditions: ['@keyframe/source'] },
  );
  const at = async (...path: readonly (string | number)[]): Promise<unknown> =>
    path.reduce<unknown>((value, key) => (value as Record<string | number, unknown>)[key], await schema);

  it('refuses unknown keys at every level of ours', async () => {
    expect(await at('additionalProperties')).toBe(false);
    expect(await at('properties', 'repositories', 'additionalProperties', 'additionalProperties')).toBe(false);
    const cluster = ['properties', 'clusters', 'additionalProperties', 'anyOf', 1] as const;
    expect(await at(...cluster, 'additionalProperties')).toBe(false);
    expect(await at(...cluster, 'required')).toBeUndefined();
  });

  it('spells out the options of each plugin that can be loaded', async () => {
    const slot = ['properties', 'repositories', 'additionalProperties', 'properties', 'stores', 'items'] as const;
    expect(await at(...slot, 'properties', 'use', 'anyOf', 0)).toEqual({ enum: ['fs', 'no-such'] });
    expect(await at(...slot, 'allOf')).toMatchObject([
      {
        if: { properties: { use: { const: 'fs' } } },
        // oxlint-disable-next-line unicorn/no-thenable -- JSON Schema's own word
        then: {
          additionalProperties: false,
          required: ['directory'],
          properties: { use: { const: 'fs' }, directory: { type: 'string' } },
        },
      },
    ]);
  });

  it('allows the short form of compress', async () => {
    const compress = await at('properties', 'repositories', 'additionalProperties', 'properties', 'compress', 'anyOf');
    expect(compress).toMatchObject([{ anyOf: [{ enum: ['zstd'] }, { type: 'string' }] }, { type: 'object' }]);
  });

  it('has text with a unit for durations and rates', async () => {
    const properties = ['properties', 'clusters', 'additionalProperties', 'anyOf', 1, 'properties'] as const;
    const pattern = new RegExp(String(await at(...properties, 'walTimeout', 'pattern')));
    expect(['60s', '5min', '60', '1.5h'].map((text) => pattern.test(text))).toEqual([true, true, false, false]);
    const rate = new RegExp(String(await at(...properties, 'maxRate', 'pattern')));
    expect(['50MiB/s', '50MB', '50'].map((text) => rate.test(text))).toEqual([true, true, false]);
  });
});
