/**
 * The file system store, as it is on a bad day: calls fail before they are done or after, and take long. How bad it is
 * stands in a file, which the test writes. A plugin for a configuration file.
 * @packageDocumentation
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { definePlugin, KeyframeError, type Plugin, type Store } from '@keyframe/contracts';
import storeFs from '@keyframe/store-fs';

interface FlakyOptions {
  readonly directory: string;
  readonly control: string;
}

/** How a store is for some time. */
export interface Weather {
  /** Of a thousand calls, so many fail. */
  readonly failing: number;
  /** How long a call takes at most, milliseconds. */
  readonly slowMs: number;
}

/** Believes what the test writes. */
const options: Plugin<'store', FlakyOptions>['options'] = {
  '~standard': { version: 1, vendor: 'keyframe-torture', validate: (value) => ({ value: value as FlakyOptions }) },
};

const plugin: Plugin<'store', FlakyOptions> = definePlugin({
  kind: 'store',
  name: 'store-flaky',
  contract: 1,
  options,
  create({ directory, control }, host): Store {
    const inner = storeFs.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, host);
    const strikes = async (): Promise<boolean> => {
      const { failing, slowMs } = JSON.parse(readFileSync(control, 'utf8')) as Weather;
      if (slowMs > 0) await sleep(Math.random() * slowMs);
      return Math.random() * 1000 < failing;
    };
    const call = async <T>(key: string, work: () => Promise<T>): Promise<T> => {
      const fails = await strikes();
      const isLate = fails && Math.random() < 0.5;
      const result = fails && !isLate ? undefined : await work();
      // Done, and the answer is lost.
      if (fails) throw new KeyframeError('UNAVAILABLE', `the store does not answer for '${key}'`);
      return result as T;
    };
    return {
      capabilities: inner.capabilities,
      put: (key, source, given) => call(key, () => inner.put(key, source, given)),
      get: (key, given) => call(key, () => inner.get(key, given)),
      stat: (key, given) => call(key, () => inner.stat(key, given)),
      delete: (keys, given) => call(String(keys[0]), () => inner.delete(keys, given)),
      async *list(prefix, given) {
        await call(prefix, async () => undefined);
        yield* inner.list(prefix, given);
      },
      close: async () => inner.close?.(),
    };
  },
});
export default plugin;
