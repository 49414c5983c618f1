/**
 * The file system store with the latency of one that is far away: each request takes so much longer, a listing once for each
 * thousand keys. A plugin for the benchmark's configuration alone; each process adds its number of requests to `report`.
 * @packageDocumentation
 */
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { definePlugin, type Plugin, type Store } from '@keyframe/contracts';
import storeFs from '@keyframe/store-fs';

/** Its options in the configuration. */
export interface SlowOptions {
  readonly directory: string;
  readonly latencyMs: number;
  /** A file that gets a line for each process. Default: none. */
  readonly report?: string | undefined;
}

const KEYS_PER_PAGE = 1000;

/** Believes what the benchmark writes into its own configuration. */
const options: Plugin<'store', SlowOptions>['options'] = {
  '~standard': { version: 1, vendor: 'keyframe-bench', validate: (value) => ({ value: value as SlowOptions }) },
};

const plugin: Plugin<'store', SlowOptions> = definePlugin({
  kind: 'store',
  name: 'store-slow',
  contract: 1,
  options,
  create({ directory, latencyMs, report }, host): Store {
    const inner = storeFs.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, host);
    let requests = 0;
    const wait = async (): Promise<void> => {
      requests += 1;
      if (latencyMs > 0) await sleep(latencyMs);
    };
    const later = async <T>(work: () => Promise<T>): Promise<T> => {
      await wait();
      return work();
    };
    return {
      capabilities: inner.capabilities,
      put: (key, source, given) => later(() => inner.put(key, source, given)),
      get: (key, given) => later(() => inner.get(key, given)),
      stat: (key, given) => later(() => inner.stat(key, given)),
      delete: (keys, given) => later(() => inner.delete(keys, given)),
      async *list(prefix, given) {
        await wait();
        let keys = 0;
        for await (const each of inner.list(prefix, given)) {
          keys += 1;
          if (keys % KEYS_PER_PAGE === 0) await wait();
          yield each;
        }
      },
      close: async () => {
        if (report !== undefined) appendFileSync(report, `${requests}\n`);
        await inner.close?.();
      },
    };
  },
});
export default plugin;
