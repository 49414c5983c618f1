import { randomUUID } from 'node:crypto';
import type { ByteSource, ByteStream, Store } from '@keyframe/contracts';
import { drain, textOf } from '@keyframe/contracts/streams';
import type { ContractCase } from '../contract.ts';

/** The objects of one case: all keys begin with a prefix of its own, so that cases run against a store in use. */
export class Scope {
  readonly store: Store;
  readonly prefix: string = `keyframe-check-${randomUUID()}/`;

  constructor(store: Store) {
    this.store = store;
  }

  key(name: string): string {
    return this.prefix + name;
  }

  async write(name: string, text: string = name): Promise<void> {
    await this.store.put(this.key(name), textOf(text));
  }

  async read(name: string): Promise<string> {
    return (await drain(await this.store.get(this.key(name)))).toString();
  }

  /** Names that `list` gives, sorted. */
  async names(prefix = ''): Promise<string[]> {
    const keys = await Array.fromAsync(this.store.list(this.key(prefix)), ({ key }) => key);
    return keys.map((key) => key.slice(this.prefix.length)).toSorted();
  }

  async exists(name: string): Promise<boolean> {
    return (await this.store.stat(this.key(name))) !== undefined;
  }
}

/** A case in a scope that is emptied afterwards. */
export function storeCase(
  name: string,
  run: (scope: Scope) => Promise<void>,
  needs?: ContractCase<Store>['needs'],
): ContractCase<Store> {
  return {
    name,
    ...(needs === undefined ? {} : { needs }),
    async run(store) {
      const scope = new Scope(store);
      try {
        await run(scope);
      } finally {
        await emptied(store, scope.prefix);
      }
    },
  };
}

/** Removes every object whose key starts with `prefix`, and every version of it where the store keeps them. */
export async function emptied(store: Store, prefix: string): Promise<void> {
  await store.delete(await Array.fromAsync(store.list(prefix), ({ key }) => key));
  if (store.versions === undefined || !(await store.versions.enabled())) return;
  const versions = await Array.fromAsync(store.versions.list(prefix), ({ key, version }) => ({ key, version }));
  if (versions.length > 0) await store.versions.delete(versions);
}

/** A source from a generator function, for sources that break or wait in the middle. */
export function sourceOf(sizeBytes: number | undefined, open: () => ByteStream): ByteSource {
  return { sizeBytes, open };
}
