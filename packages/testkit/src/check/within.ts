/** A part of a store as a store of its own. @packageDocumentation */
import { type Abortable, facetsOf, type ObjectInfo, type Store, type VersionsFacet } from '@keyframe/contracts';

/**
 * `store`, of which only keys that begin with `prefix` (it ends in `/`) are there. Every call ends when `ended` aborts, whatever
 * else it was told. Rules of the whole bucket are out of reach: they can be read, not written.
 */
export function within(store: Store, prefix: string, ended: AbortSignal): Store {
  const inner = new Inner(store, prefix, ended);
  return {
    ...inner.facets(),
    put: async (key, source, options) => inner.out(await store.put(prefix + key, source, inner.how(options))),
    get: (key, options) => store.get(prefix + key, inner.how(options)),
    stat: async (key, options) => {
      const info = await store.stat(prefix + key, inner.how(options));
      return info && inner.out(info);
    },
    list: (start, options) => inner.listed(store.list(prefix + start, inner.how(options))),
    delete: (keys, options) =>
      store.delete(
        keys.map((key) => prefix + key),
        inner.how(options),
      ),
  };
}

class Inner {
  readonly #store: Store;
  readonly #prefix: string;
  readonly #ended: AbortSignal;

  constructor(store: Store, prefix: string, ended: AbortSignal) {
    this.#store = store;
    this.#prefix = prefix;
    this.#ended = ended;
  }

  how<Options extends Abortable>(options: Options | undefined): Options & { readonly signal: AbortSignal } {
    const signal = options?.signal === undefined ? this.#ended : AbortSignal.any([options.signal, this.#ended]);
    return { ...(options as Options), signal };
  }

  out<Info extends ObjectInfo>(info: Info): Info {
    return { ...info, key: info.key.slice(this.#prefix.length) };
  }

  async *listed<Info extends ObjectInfo>(infos: AsyncIterable<Info>): AsyncGenerator<Info> {
    for await (const info of infos) yield this.out(info);
  }

  facets(): ReturnType<typeof facetsOf> {
    const facets = facetsOf(this.#store);
    const { retention, tiers, tags, atRest } = facets;
    const at = (key: string): string => this.#prefix + key;
    return {
      ...facets,
      ...(facets.versions && { versions: this.#versions(facets.versions) }),
      ...(retention && {
        retention: {
          enabled: (options) => retention.enabled(this.how(options)),
          until: (key, options) => retention.until(at(key), this.how(options)),
          extend: (key, until, options) => retention.extend(at(key), until, this.how(options)),
        },
      }),
      ...(tiers && {
        tiers: {
          classes: tiers.classes,
          state: (key, options) => tiers.state(at(key), this.how(options)),
          move: (key, name, options) => tiers.move(at(key), name, this.how(options)),
          thaw: (key, wish, options) => tiers.thaw(at(key), wish, this.how(options)),
        },
      }),
      ...(tags && {
        tags: {
          of: (key, options) => tags.of(at(key), this.how(options)),
          set: (key, values, options) => tags.set(at(key), values, this.how(options)),
        },
      }),
      ...(atRest && {
        atRest: {
          ...(atRest.wanted && { wanted: atRest.wanted }),
          of: (key, options) => atRest.of(at(key), this.how(options)),
          matches: (found) => atRest.matches(found),
        },
      }),
    };
  }

  #versions(versions: VersionsFacet): VersionsFacet {
    return {
      enabled: (options) => versions.enabled(this.how(options)),
      list: (start, options) => this.listed(versions.list(this.#prefix + start, this.how(options))),
      get: (key, version, options) => versions.get(this.#prefix + key, version, this.how(options)),
      delete: (which, options) =>
        versions.delete(
          which.map(({ key, version }) => ({ key: this.#prefix + key, version })),
          this.how(options),
        ),
    };
  }
}
