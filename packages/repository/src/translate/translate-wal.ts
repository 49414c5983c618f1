/** Brings WAL files to another repository: read and proven there, archived anew here. @packageDocumentation */
import { type Abortable, hasCode, KeyframeError, parseWalFileName } from '@keyframe/contracts';
import type { EpochContext } from '../epoch-context.ts';
import { walKey } from '../keys.ts';
import { Lookup } from '../mirror/lookup.ts';
import { checkObject } from '../objects/check-object.ts';
import { damaged } from '../objects/damage.ts';
import { Slots } from '../objects/slots.ts';
import { parseWalPart, partOfKey } from '../wal/part-name.ts';
import { StoredWal } from '../wal/stored-wal.ts';
import { partKey } from '../wal/streamed-wal.ts';
import { isFrom, originOf } from './origin.ts';
import type { TranslationPlaces } from './translate-pack.ts';

/** Headers compared at once, and files on their way at once: each is in memory. */
const AT_ONCE = { compared: 8, copied: 1 } as const;
/** A segment that could not be read when it was signed. */
const UNKNOWN = '0'.repeat(64);

/** A WAL file of the source. */
export interface WalItem {
  readonly name: string;
  readonly key: string;
  /** Of its object. */
  readonly sizeBytes: number;
  /** The target has an object of that name. */
  readonly isThere: boolean;
}

/** Which WAL files are brought, and what is known of them. */
export interface WalScope {
  readonly needs: (name: string) => boolean;
  /** Identity that the source's chain vouches for. */
  readonly signed: (name: string) => string | undefined;
  onFile(item: WalItem, isNew: boolean): void;
}

/** All files that are wanted, history files first. */
export async function* walOf(
  { from, to, signal }: TranslationPlaces,
  needs: (name: string) => boolean,
): AsyncGenerator<WalItem> {
  for (const histories of [true, false]) {
    const there = new Lookup(to.store, `${to.prefix}wal/`, signal);
    try {
      for await (const { key, sizeBytes } of from.store.list(`${from.prefix}wal/`, { signal })) {
        const part = histories ? undefined : partOfKey(key);
        if (part !== undefined && from.prefix + partKey(part) === key && needs(part.segment))
          yield { name: part.name, key, sizeBytes, isThere: (await there.sizeOf(key)) !== undefined };
        const file = parseWalFileName(key.slice(key.lastIndexOf('/') + 1));
        if (file === undefined || from.prefix + walKey(file) !== key) continue;
        if ((file.kind === 'history') !== histories || !needs(file.name)) continue;
        yield { name: file.name, key, sizeBytes, isThere: (await there.sizeOf(key)) !== undefined };
      }
    } finally {
      await there.close();
    }
  }
}

/** @throws {KeyframeError} CONFLICT, when all others are there, for files that are others at the target; CORRUPT */
export async function translateWal(places: TranslationPlaces, scope: WalScope): Promise<void> {
  const conflicts: string[] = [];
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(places.signal === undefined ? [] : [places.signal])]);
  const bringing = new WalTranslation({ ...places, signal }, scope);
  const items = walOf({ ...places, signal }, scope.needs);
  const worker = async (): Promise<void> => {
    for (let next = await items.next(); next.done !== true; next = await items.next())
      if (!(await bringing.bring(next.value))) conflicts.push(next.value.key);
  };
  try {
    // An async generator hands out one item after the other, whoever asks.
    await Promise.all(Array.from({ length: AT_ONCE.compared }, worker));
  } catch (error) {
    stop.abort(error); // the other workers need not go on
    throw error;
  } finally {
    await items.return(undefined);
  }
  if (conflicts.length > 0) throw otherFiles(conflicts);
}

class WalTranslation {
  readonly #places: TranslationPlaces;
  readonly #scope: WalScope;
  readonly #from: StoredWal;
  readonly #to: StoredWal;
  readonly #slots = new Slots(AT_ONCE.copied);

  constructor(places: TranslationPlaces, scope: WalScope) {
    this.#places = places;
    this.#scope = scope;
    this.#from = new StoredWal(places.from);
    this.#to = new StoredWal(places.to);
  }

  /** False: the target has another file of that name. */
  async bring(item: WalItem): Promise<boolean> {
    this.#places.signal?.throwIfAborted();
    const isSame = item.isThere && (await this.#isSame(item));
    if (isSame) {
      this.#scope.onFile(item, false);
      return true;
    }
    await this.#slots.take();
    try {
      this.#scope.onFile(item, (await this.#put(item)) === 'archived');
      return true;
    } catch (error) {
      if (!hasCode(error, 'WAL_MISMATCH')) throw error;
      return false;
    } finally {
      this.#slots.give();
    }
  }

  /** By the headers alone. Where they cannot tell, the content does. */
  async #isSame({ name }: WalItem): Promise<boolean> {
    const { from, to } = this.#places;
    const options: Abortable = { signal: this.#places.signal };
    const [source, copy] = await Promise.all([this.#from.header(name, options), this.#to.header(name, options)]);
    if (source === undefined || copy === undefined) return false;
    if (source.sizeBytes !== copy.sizeBytes || source.adoption !== copy.adoption) return false;
    this.#assertSigned(name, source.identity);
    const known = { repository: from.repositoryId, sha256: source.identity };
    if (await isFrom(copy.origin, known, to.keyring, options)) return true;
    return (
      source.generation === 0 && copy.identity === (await this.#to.identity(source.identity, copy.generation, options))
    );
  }

  async #put({ name, key }: WalItem): Promise<'archived' | 'already-archived'> {
    const { from, to, signal } = this.#places;
    const part = parseWalPart(name);
    const header = await this.#from.header(name, { signal });
    // Whoever stored the whole segment since the listing has removed its parts.
    if (header === undefined && part !== undefined) return 'already-archived';
    if (header === undefined) throw damaged(key, 'it is missing');
    this.#assertSigned(name, header.identity);
    const { systemIdentifier, timeline, segmentSizeBytes, sizeBytes, adoption, identity } = header;
    const wal = this.#from;
    const open = async function* (): AsyncGenerator<Uint8Array> {
      const found = await wal.get(name, { signal });
      if (found === undefined) throw damaged(key, 'it is missing');
      yield* found.content;
    };
    if (part !== undefined && segmentSizeBytes !== undefined) {
      const facts = { systemIdentifier, timeline, segmentSizeBytes };
      const { segment, start } = part;
      await this.#to.putPart({ segment, start, content: { sizeBytes, open }, facts }, { signal });
      return 'archived';
    }
    const origin = originOf(from.repositoryId, identity, await to.keyring.writing({ signal }));
    const facts = { systemIdentifier, timeline, segmentSizeBytes };
    const outcome = await this.#to.put({ name, content: { sizeBytes, open }, facts, adoption, origin }, { signal });
    await this.#readBack(to, key);
    return outcome;
  }

  async #readBack({ store, codecs }: EpochContext, key: string): Promise<void> {
    await checkObject(store, codecs, key, this.#places.signal);
  }

  #assertSigned(name: string, identity: string): void {
    const signed = this.#scope.signed(name);
    if (signed === undefined || signed === identity || signed === UNKNOWN) return;
    throw new KeyframeError('SIGNATURE_INVALID', `the WAL file ${name} is not the one that was signed`, {
      hint: 'Run `keyframe verify` on the source: the file was replaced; nothing of it is copied.',
      details: { name, signed, found: identity },
    });
  }
}

function otherFiles(keys: readonly string[]): KeyframeError {
  return new KeyframeError('CONFLICT', `the target has other objects under ${keys.length} names, ${keys[0]} first`, {
    hint: 'Copy into a repository of its own; of the two files `keyframe wal verify` tells which is of the cluster.',
    details: { count: keys.length, keys: keys.slice(0, 20).join(', ') },
  });
}
