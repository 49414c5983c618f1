/**
 * The file system store, with its requests counted as an object store would bill them: one for each call, and one for each
 * thousand keys of a listing. A plugin for the benchmark's configuration alone; each process adds a line to `report`.
 * @packageDocumentation
 */
import { appendFileSync } from 'node:fs';
import { type ByteStream, definePlugin, type Plugin, type Store } from '@keyframe/contracts';
import storeFs from '@keyframe/store-fs';
import { Link, type LinkOptions } from './link.ts';

const KEYS_PER_PAGE = 1000;

interface CountingOptions {
  readonly directory: string;
  readonly report: string;
  /** Absent: a local disk. */
  readonly link?: LinkOptions;
}

/** Believes what the benchmark writes into its own configuration. */
const options: Plugin<'store', CountingOptions>['options'] = {
  '~standard': { version: 1, vendor: 'keyframe-bench', validate: (value) => ({ value: value as CountingOptions }) },
};

/** What one process asked of the store. */
export interface RequestLine {
  readonly argv: readonly string[];
  readonly requests: Readonly<Record<string, number>>;
}

const plugin: Plugin<'store', CountingOptions> = definePlugin({
  kind: 'store',
  name: 'store-counting',
  contract: 1,
  options,
  create({ directory, report, link: far }, host): Store {
    const inner = storeFs.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, host);
    const requests: Record<string, number> = {};
    const count = (what: string, times = 1): void => {
      requests[what] = (requests[what] ?? 0) + times;
    };
    const link = far === undefined ? undefined : new Link(far);
    const answer = <T>(work: () => Promise<T>): Promise<T> => (link === undefined ? work() : link.answer(work));
    const carry = (bytes: ByteStream): ByteStream => link?.carry(bytes) ?? bytes;
    return {
      capabilities: inner.capabilities,
      put(key, source, given) {
        count('put');
        const sent = link === undefined ? source : { ...source, open: () => carry(source.open()) };
        return answer(() => inner.put(key, sent, given));
      },
      get(key, given) {
        count('get');
        return answer(async () => carry(await inner.get(key, given)));
      },
      stat(key, given) {
        count('stat');
        return answer(() => inner.stat(key, given));
      },
      delete(keys, given) {
        count('delete', Math.ceil(keys.length / KEYS_PER_PAGE));
        return answer(() => inner.delete(keys, given));
      },
      async *list(prefix, given) {
        count('list');
        await answer(async () => undefined);
        let keys = 0;
        for await (const each of inner.list(prefix, given)) {
          keys += 1;
          if (keys % KEYS_PER_PAGE === 0) count('list');
          yield each;
        }
      },
      async close() {
        const line: RequestLine = { argv: process.argv.slice(2), requests };
        appendFileSync(report, `${JSON.stringify(line)}\n`);
        await inner.close?.();
      },
    };
  },
});
export default plugin;
