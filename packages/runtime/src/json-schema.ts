import type { AdapterKinds } from '@keyframe/contracts';
import { z } from 'zod';
import { loadPlugin, type PluginSources } from './plugins.ts';
import { configurationSchema, isMap, NAME } from './schema.ts';

/** Short names of the plugins whose options the schema shall spell out, by kind. */
export type KnownPlugins = Readonly<Partial<Record<keyof AdapterKinds, readonly string[]>>>;

type Json = Record<string, unknown>;

const STORE_NAME: Json = {
  type: 'string',
  pattern: NAME.source,
  description: 'What the store is called. Default: what `use` says.',
};

/**
 * JSON Schema (draft 2020-12) of the config file, for editors: with the options of every known plugin that can be loaded.
 * `from` is the config file (or where it would be): plugins are looked for from there.
 */
export async function configurationJsonSchema(
  from: string,
  known: KnownPlugins,
  sources: PluginSources = {},
): Promise<object> {
  const schema: Json = z.toJSONSchema(configurationSchema, { io: 'input', unrepresentable: 'any' });
  const clusters = within(schema, 'properties', 'clusters');
  clusters['propertyNames'] = { pattern: NAME.source };
  // `main:` with nothing after it is null in YAML.
  clusters['additionalProperties'] = { anyOf: [{ type: 'null' }, clusters['additionalProperties']] };
  const repositories = within(schema, 'properties', 'repositories');
  repositories['propertyNames'] = { pattern: NAME.source };
  const properties = within(repositories, 'additionalProperties', 'properties');
  const stores = within(properties, 'stores');
  const { use: _, ...common } = within(stores, 'items', 'properties');
  stores['items'] = await slotSchema('store', known.store ?? [], from, sources, { name: STORE_NAME, ...common });
  stores['minItems'] = 1;
  const { description, default: byDefault } = within(properties, 'compress');
  const slot = await slotSchema('compressor', known.compressor ?? [], from, sources);
  properties['compress'] = { description, default: byDefault, anyOf: [nameSchema(known.compressor ?? []), slot] };
  const encrypt = within(properties, 'encrypt');
  const key = await slotSchema('encryptor', known.encryptor ?? [], from, sources);
  const oneKey = { anyOf: [nameSchema(known.encryptor ?? []), key] };
  properties['encrypt'] = {
    description: encrypt['description'],
    anyOf: [key, { type: 'array', items: oneKey, minItems: 1 }],
  };
  return { ...schema, title: 'Keyframe configuration' };
}

function within(schema: Json, ...path: readonly string[]): Json {
  let value: unknown = schema;
  for (const key of path) value = isMap(value) ? value[key] : undefined;
  return isMap(value) ? value : {};
}

function nameSchema(known: readonly string[]): Json {
  // The open alternative keeps npm names and paths legal; the list gives editors something to complete.
  return { anyOf: [{ enum: [...known] }, { type: 'string', minLength: 1 }] };
}

async function slotSchema(
  kind: keyof AdapterKinds,
  known: readonly string[],
  from: string,
  sources: PluginSources,
  common: Json = {},
): Promise<Json> {
  const branches = await Promise.all(
    known.map(async (use): Promise<Json[]> => {
      const result = await loadPlugin(use, kind, from, sources);
      if (!('plugin' in result) || result.plugin.jsonSchema === undefined) return [];
      const { $schema: _, ...options } = result.plugin.jsonSchema() as Json;
      const properties = { use: { const: use }, ...common, ...within(options, 'properties') };
      // oxlint-disable-next-line unicorn/no-thenable -- JSON Schema's own word
      return [{ if: { properties: { use: { const: use } } }, then: { ...options, properties } }];
    }),
  );
  return {
    type: 'object',
    properties: { use: { description: `The ${kind}: a name, an npm package or a path.`, ...nameSchema(known) } },
    required: ['use'],
    allOf: branches.flat(),
  };
}
