import { type Compressor, type Host, KeyframeError } from '@keyframe/contracts';
import { loadAdapters } from './adapters.ts';
import type { PluginSources } from './plugins.ts';

/** A compressor that is loaded when the first frame with its id comes. */
export interface Codec {
  readonly id: string;
  create(host: Host): Compressor;
}

/** The compressor of that short name, which must be its id too. Most runs never need it, so they do not pay for loading it. */
export function codecNamed(id: string, file: string, sources: PluginSources): Codec {
  return {
    id,
    create: (host) => {
      let loaded: Promise<Compressor> | undefined;
      // A load that failed is tried again at the next frame: a disk may have been away for a moment.
      const load = (): Promise<Compressor> =>
        (loaded ??= loadCodec(id, file, sources, host).catch((error: unknown) => {
          loaded = undefined;
          throw error;
        }));
      return {
        id,
        compress: async (frame) => (await load()).compress(frame),
        decompress: async (frame, sizeBytes) => (await load()).decompress(frame, sizeBytes),
        close: async () => {
          if (loaded !== undefined) await (await loaded).close?.();
        },
      };
    },
  };
}

async function loadCodec(id: string, file: string, sources: PluginSources, host: Host): Promise<Compressor> {
  const slot = { repositories: { of: { compress: { use: id } } } };
  const { problems, adapters } = await loadAdapters(slot, file, sources);
  const compressor = adapters[0]?.adapter.create(host) as Compressor | undefined;
  if (compressor?.id === id) return compressor;
  const why = problems[0]?.reason ?? `the plugin ${id} writes frames of the codec ${compressor?.id ?? 'unknown'}`;
  throw new KeyframeError('PLUGIN_NOT_FOUND', `frames of the codec ${id} cannot be read: ${why}`, {
    hint: problems[0]?.fix ?? `Install the plugin that writes the codec ${id}.`,
    details: { codec: id },
  });
}
