/** Loads the plugins that a config file names and checks their options. @packageDocumentation */
import type { AdapterKinds, Host } from '@keyframe/contracts';
import type { ConfiguredAdapter } from './configuration.ts';
import { type AnyPlugin, loadPlugin, type PluginSources } from './plugins.ts';
import type { KeyPath } from './problems.ts';
import { isMap } from './schema.ts';
import { STORE_KEYS } from './store-slots.ts';
import { describeIssue, type DraftProblem } from './shape.ts';

type Kind = keyof AdapterKinds;

/** A loaded adapter and the place that named it. */
export interface PlacedAdapter {
  readonly path: KeyPath;
  readonly adapter: ConfiguredAdapter<Kind>;
}

interface PlacedSlot {
  readonly path: KeyPath;
  readonly kind: Kind;
  readonly slot: Readonly<Record<string, unknown>>;
}

/** Every slot of the file, whether or not the rest of the file is right. */
function slotsOf(data: unknown): PlacedSlot[] {
  const repositories = isMap(data) && isMap(data['repositories']) ? data['repositories'] : {};
  return Object.entries(repositories).flatMap(([name, repository]): PlacedSlot[] => {
    if (!isMap(repository)) return [];
    const { stores, compress = { use: 'zstd', level: 1 }, encrypt } = repository;
    const path = ['repositories', name];
    const candidates: { path: KeyPath; kind: Kind; slot: unknown }[] = [
      ...(Array.isArray(stores) ? (stores as unknown[]) : []).map((slot, index) => ({
        path: [...path, 'stores', index],
        kind: 'store' as const,
        slot,
      })),
      { path: [...path, 'compress'], kind: 'compressor', slot: compress },
      ...(Array.isArray(encrypt) ? (encrypt as unknown[]) : []).map((slot, index) => ({
        path: [...path, 'encrypt', index],
        kind: 'encryptor' as const,
        slot,
      })),
    ];
    return candidates.flatMap(({ slot, ...place }) => (isMap(slot) ? [{ ...place, slot }] : []));
  });
}

/** Loads them all; what is wrong with any of them is a problem of its place. */
export async function loadAdapters(
  data: unknown,
  file: string,
  sources: PluginSources,
): Promise<{ problems: DraftProblem[]; adapters: PlacedAdapter[] }> {
  const problems: DraftProblem[] = [];
  const adapters: PlacedAdapter[] = [];
  for (const { path, kind, slot } of slotsOf(data)) {
    const { use, ...given } = slot;
    const options = kind === 'store' ? pluginOptions(given) : given;
    // The shape check has already said that the name is missing.
    if (use === undefined || use === '') continue;
    const result = await loadPlugin(use, kind, file, sources);
    if (!('plugin' in result)) {
      const { code, reason, fix } = result;
      problems.push({ path: [...path, 'use'], reason, fix, code });
      continue;
    }
    const checked = await result.plugin.options['~standard'].validate(options);
    if (checked.issues === undefined) {
      const { plugin } = result;
      const create = (host: Host): AdapterKinds[Kind] => plugin.create(checked.value, host);
      const label = typeof use === 'string' ? use : plugin.name;
      adapters.push({ path, adapter: { use: label, pluginName: plugin.name, create } });
    } else {
      const keysOf = (at: KeyPath): { known: string[]; later: [] } => ({
        known: at.length === path.length ? optionNames(result.plugin) : [],
        later: [],
      });
      problems.push(...checked.issues.flatMap((issue) => describeIssue(issue, options, path, keysOf)));
    }
  }
  return { problems, adapters };
}

/** What can be said of every store is the repository's affair, not the plugin's. */
function pluginOptions(slot: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(slot).filter(([key]) => !STORE_KEYS.includes(key)));
}

function optionNames({ jsonSchema }: AnyPlugin): string[] {
  const schema = jsonSchema?.();
  const properties = schema !== undefined && 'properties' in schema ? schema.properties : undefined;
  return isMap(properties) ? Object.keys(properties) : [];
}
