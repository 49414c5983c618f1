/**
 * The file system store with the latency of one that is far away: each request takes so much longer. A plugin for the
 * benchmark's configuration alone.
 * @packageDocumentation
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { definePlugin, type Plugin, type Store } from '@keyframe/contracts';
import storeFs from '@keyframe/store-fs';

/** Its options in the configuration. */
export interface SlowOptions {
  readonly directory: string;
  readonly latencyMs: number;
}

/** Believes what the benchmark writes into its own configuration. */
const options: Plugin<'store', SlowOptions>['options'] = {
  '~standard': { version: 1, vendor: 'keyframe-bench', validate: (value) => ({ value: value as SlowOptions }) },
};

const plugin: Plugin<'store', SlowOptions> = definePlugin({
  kind: 'store',
  name: 'store-slow',
  contract: 1,
  options,
  create({ directory, latencyMs }, host): Store {
    const inner = storeFs.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, host);
    const later = async <T>(work: () => Promise<T>): Promise<T> => {
      if (latencyMs > 0) await sleep(latencyMs);
      return work();
    };
    return {
      capabilities: inner.capabilities,
      put: (key, source, given) => later(() => inner.put(key, source, given)),
      get: (key, given) => later(() => inner.get(key, given)),
      stat: (key, given) => later(() => inner.stat(key, given)),
      delete: (keys, given) => later(() => inner.delete(keys, given)),
      list: (prefix, given) => inner.list(prefix, given),
      close: async () => inner.close?.(),
    };
  },
});
export default plugin;
