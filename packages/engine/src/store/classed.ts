import { facetsOf, type Store } from '@keyframe/contracts';
import { type KeyKind, kindOfKey } from '@keyframe/repository';

/** Storage class of new objects by what they hold, in the store's own words. */
export interface StorageClasses {
  readonly packs?: string | undefined;
  readonly manifests?: string | undefined;
  readonly wal?: string | undefined;
}

const SETTINGS: Readonly<Partial<Record<KeyKind, keyof StorageClasses>>> = {
  pack: 'packs',
  manifest: 'manifests',
  wal: 'wal',
};

/** `store` that writes each kind of object to its class. What is small and often read stays in the bucket's own. */
export function classed(store: Store, classes: StorageClasses): Store {
  return {
    ...facetsOf(store),
    put: (key, source, options) => {
      const setting = SETTINGS[kindOfKey(key)];
      const storageClass = setting === undefined ? undefined : classes[setting];
      return store.put(key, source, storageClass === undefined ? options : { ...options, storageClass });
    },
    get: (key, options) => store.get(key, options),
    stat: (key, options) => store.stat(key, options),
    list: (prefix, options) => store.list(prefix, options),
    delete: (keys, options) => store.delete(keys, options),
  };
}
