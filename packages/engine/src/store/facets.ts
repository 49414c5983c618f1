/** The facets of a store, repeated as its operations are: each of their calls can be made twice. @packageDocumentation */
import { type Abortable, facetsOf, type Store, type VersionsFacet } from '@keyframe/contracts';
import type { Retrier } from './retrier.ts';

type Facets = ReturnType<typeof facetsOf>;

/** `facetsOf(store)` with retries. */
export function retryingFacets(store: Store, retrier: Retrier): Facets {
  const facets = facetsOf(store);
  const { versions, retention, tiers, tags, lifecycle, replication, atRest } = facets;
  const call = <T>(what: string, options: Abortable | undefined, attempt: (how: Abortable) => Promise<T>): Promise<T> =>
    retrier.call(what, options?.signal, ({ signal }) => attempt({ signal }));
  return {
    ...facets,
    ...(versions && { versions: versionsWith(versions, retrier) }),
    ...(retention && {
      retention: {
        enabled: (options) => call('retention', options, (how) => retention.enabled(how)),
        until: (key, options) => call(key, options, (how) => retention.until(key, how)),
        extend: (key, until, options) =>
          call(key, options, (how) => retention.extend(key, until, { ...options, ...how })),
      },
    }),
    ...(tiers && {
      tiers: {
        classes: tiers.classes,
        state: (key, options) => call(key, options, (how) => tiers.state(key, how)),
        move: (key, storageClass, options) => call(key, options, (how) => tiers.move(key, storageClass, how)),
        thaw: (key, wish, options) => call(key, options, (how) => tiers.thaw(key, wish, how)),
      },
    }),
    ...(tags && {
      tags: {
        of: (key, options) => call(key, options, (how) => tags.of(key, how)),
        set: (key, values, options) => call(key, options, (how) => tags.set(key, values, how)),
      },
    }),
    ...(lifecycle && {
      lifecycle: {
        actions: lifecycle.actions,
        read: (options) => call('lifecycle rules', options, (how) => lifecycle.read(how)),
        write: (rules, options) => call('lifecycle rules', options, (how) => lifecycle.write(rules, how)),
      },
    }),
    ...(replication && {
      replication: {
        read: (options) => call('replication', options, (how) => replication.read(how)),
        plan: (options) => call('replication', options, (how) => replication.plan(how)),
        apply: (options) => call('replication', options, (how) => replication.apply(how)),
      },
    }),
    ...(atRest && {
      atRest: {
        ...(atRest.wanted && { wanted: atRest.wanted }),
        of: (key, options) => call(key, options, (how) => atRest.of(key, how)),
        matches: (found) => atRest.matches(found),
      },
    }),
  };
}

function versionsWith(versions: VersionsFacet, retrier: Retrier): VersionsFacet {
  return {
    enabled: (options) => retrier.call('versions', options?.signal, ({ signal }) => versions.enabled({ signal })),
    list: (prefix, options) =>
      retrier.list(
        prefix,
        options?.signal,
        ({ signal }) => versions.list(prefix, { signal }),
        ({ key, version }) => `${key}\0${version}`,
      ),
    get: (key, version, options) => retrier.read(key, options, (how) => versions.get(key, version, how)),
    delete: (which, options) =>
      retrier.call(which[0]?.key ?? '', options?.signal, (guard) => {
        guard.expect(which.length);
        return versions.delete(which, { signal: guard.signal });
      }),
  };
}
