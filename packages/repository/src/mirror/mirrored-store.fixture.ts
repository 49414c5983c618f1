import type { Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { createMemoryStore } from '@keyframe/testkit';
import { sealJson } from '../format/sealed-json.ts';
import { Codecs } from '../objects/codecs.ts';
import { checkObject } from '../objects/check-object.ts';
import type { MirrorEvent } from './events.ts';
import { memoryJournal } from './journal.ts';
import { type MirroredStore, mirroredStore, type MirrorOptions } from './mirrored-store.ts';

/** Stores `a`, `b`, `c` … in memory, and how to make mirrored ones of them. */
export interface TestMirror {
  /** What lies under the mirror: change an entry to put a fault between. */
  readonly stores: Record<string, Store>;
  readonly plain: Readonly<Record<string, Store>>;
  readonly events: MirrorEvent[];
  open(options?: Partial<MirrorOptions>): MirroredStore;
}

const IDENTITY = sealJson({
  id: '5d0f1f2a-0000-4000-8000-000000000001',
  createdAt: '2026-01-01T00:00:00.000Z',
  parameters: { frameBytes: 1, walFrameBytes: 1 },
});

/** A sealed JSON object with that content. */
export const sealed = (content: string): Buffer => sealJson({ content });

/** Stores that are one repository already. */
export async function testMirror(names = 'abc'): Promise<TestMirror> {
  const plain: Record<string, Store> = {};
  for (const name of names) {
    const store = createMemoryStore();
    plain[name] = store;
    await store.put('keyframe.json', bytesOf(IDENTITY));
  }
  const stores = { ...plain };
  const events: MirrorEvent[] = [];
  const journal = memoryJournal();
  const codecs = new Codecs([]);
  return {
    stores,
    plain,
    events,
    open: (options = {}) =>
      mirroredStore({
        stores: Object.keys(stores).map((name) => ({ name, store: delegating(stores, name) })),
        rule: { quorum: Math.floor(names.length / 2) + 1 },
        journal,
        check: async (store, key, how) => {
          await checkObject(store, codecs, key, how?.signal);
        },
        onEvent: (event) => events.push(event),
        drainMs: 200,
        ...options,
      }),
  };
}

function delegating(stores: Record<string, Store>, name: string): Store {
  const now = (): Store => {
    const store = stores[name];
    if (store === undefined) throw new Error(`no store ${name}`);
    return store;
  };
  return {
    get capabilities() {
      return now().capabilities;
    },
    put: (...args) => now().put(...args),
    get: (...args) => now().get(...args),
    stat: (...args) => now().stat(...args),
    list: (...args) => now().list(...args),
    delete: (...args) => now().delete(...args),
  };
}
