import type { Store } from './store.ts';

/** What a store has beside its five operations: for stores that wrap one. Named one by one: an adapter may be a class, whose getters a spread would lose. */
export function facetsOf(store: Store): Omit<Store, 'put' | 'get' | 'stat' | 'list' | 'delete'> {
  const { capabilities, versions, retention, tiers, tags, lifecycle, replication, atRest, access, location } = store;
  return {
    capabilities,
    ...(versions && { versions }),
    ...(retention && { retention }),
    ...(tiers && { tiers }),
    ...(tags && { tags }),
    ...(lifecycle && { lifecycle }),
    ...(replication && { replication }),
    ...(atRest && { atRest }),
    ...(access && { access }),
    ...(location && { location }),
    close: async () => store.close?.(),
  };
}
