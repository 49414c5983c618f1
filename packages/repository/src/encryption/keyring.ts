import { type Abortable, hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import type { RepositoryIdentity } from '../identity.ts';
import type { EncryptionContext } from './encryption.ts';
import { keyRequired, keysLost, keyWrong, notEncrypted } from './faults.ts';
import { IndexKeys } from './index-keys.ts';
import { parseIndexText } from './index-text.ts';
import { type KeyInventory, readKeyInventory } from './key-inventory.ts';
import { assertGeneration, type GenerationObject } from './generation-object.ts';
import { ObjectCipher } from './object-cipher.ts';
import { openSealedKey, SEALED_KEY_BYTES } from './sealed-key.ts';
import { indexOf, unlock, type Unlocked } from './unlock.ts';
import { WritingKeys } from './writing-keys.ts';

/** What a keyring works with. */
export interface KeyringContext {
  readonly store: Store;
  readonly identity: (options: Abortable) => Promise<RepositoryIdentity>;
  readonly encryption: EncryptionContext | undefined;
}

/** The keys of one process, opened when they are needed first and then kept. */
export class Keyring {
  readonly #context: KeyringContext;
  #inventory: Promise<KeyInventory> | undefined;
  #unlocked: Promise<Unlocked> | undefined;
  #writing: Promise<WritingKeys | undefined> | undefined;

  constructor(context: KeyringContext) {
    this.#context = context;
  }

  /** Forgets what it knows, after the keys in the store were changed. */
  forget(): void {
    this.#inventory = undefined;
    this.#unlocked = undefined;
    this.#writing = undefined;
  }

  inventory({ signal }: Abortable = {}): Promise<KeyInventory> {
    const read = (this.#inventory ??= readKeyInventory(this.#context.store, signal));
    read.catch(() => (this.#inventory = undefined));
    return read;
  }

  /** @throws {KeyframeError} KEY_REQUIRED, KEY_WRONG */
  unlock(options: Abortable = {}): Promise<Unlocked> {
    const opened = (this.#unlocked ??= this.#unlock(options));
    opened.catch(() => (this.#unlocked = undefined));
    return opened;
  }

  /**
   * Keys for what is written from now on; undefined where nothing is encrypted.
   * @throws {KeyframeError} KEY_REQUIRED, KEY_WRONG, NOT_ENCRYPTED: never is plain text written where it must not be
   */
  writing(options: Abortable = {}): Promise<WritingKeys | undefined> {
    const made = (this.#writing ??= this.#write(options));
    made.catch(() => (this.#writing = undefined));
    return made;
  }

  /** Whether this host can read what is encrypted, and so may build on the bytes of earlier backups. */
  async canRead(options: Abortable = {}): Promise<boolean> {
    if ((await this.inventory(options)).generations.length === 0) return true;
    try {
      await this.unlock(options);
      return true;
    } catch (error) {
      if (!hasCode(error, 'KEY_REQUIRED', 'KEY_WRONG')) throw error;
      return false;
    }
  }

  /** For reading manifests, tails and identities. @throws {KeyframeError} KEY_REQUIRED, KEY_WRONG */
  async index(generation: number, options: Abortable = {}): Promise<IndexKeys> {
    const { id } = await this.#context.identity(options);
    const given = this.#given.get(generation);
    if (given !== undefined) {
      const keys = new IndexKeys(generation, given, id);
      if (await this.#proves(keys, options)) return keys;
    }
    const secrets = (await this.unlock(options)).secrets.get(generation);
    if (secrets === undefined) throw noGeneration(generation);
    return indexOf(secrets, id);
  }

  /** For reading the frames of an object. @throws {KeyframeError} KEY_REQUIRED, KEY_WRONG, CORRUPT */
  async data(sealed: SealedKey, objectKey: string, options: Abortable = {}): Promise<ObjectCipher> {
    const { id } = await this.#context.identity(options);
    const secrets = (await this.unlock(options)).secrets.get(sealed.generation);
    if (secrets === undefined) throw noGeneration(sealed.generation);
    const key = openSealedKey(sealed.bytes, secrets.privateKey, id, objectKey);
    return new ObjectCipher(sealed.generation, key, id, objectKey);
  }

  /** Whether an object without encryption is one from before, or one that somebody put there. */
  async allowsPlain(options: Abortable = {}): Promise<boolean> {
    const [first] = (await this.inventory(options)).generations;
    return first === undefined || first.plainBefore;
  }

  get #given(): ReadonlyMap<number, Uint8Array> {
    const text = this.#context.encryption?.indexKey;
    return text === undefined ? new Map() : parseIndexText(text);
  }

  async #unlock(options: Abortable): Promise<Unlocked> {
    const { encryption, identity } = this.#context;
    const inventory = await this.inventory(options);
    if (inventory.generations.length === 0) throw keysLost();
    if (encryption === undefined) throw noConfiguration();
    return unlock(encryption, inventory, (await identity(options)).id, options);
  }

  async #write(options: Abortable): Promise<WritingKeys | undefined> {
    const { encryption, identity } = this.#context;
    const { id, encrypted } = await identity(options);
    const newest = (await this.inventory(options)).generations.at(-1);
    if (newest === undefined) {
      if (encrypted) throw keysLost();
      if (encryption !== undefined) throw notEncrypted();
      return undefined;
    }
    if (encryption === undefined) throw noConfiguration();
    const keys = await this.#indexToWrite(newest, options);
    const { generations } = await this.inventory(options);
    const chosen = generations.find(({ generation }) => generation === keys.generation) ?? newest;
    return new WritingKeys(keys, chosen.publicKey, id);
  }

  /** The newest index key at hand. Archiving goes on under an older one, with a warning, until the new one is brought. */
  async #indexToWrite(newest: GenerationObject, options: Abortable): Promise<IndexKeys> {
    const { encryption, identity } = this.#context;
    const { id } = await identity(options);
    const proven: IndexKeys[] = [];
    for (const [generation, key] of this.#given) {
      const keys = new IndexKeys(generation, key, id);
      if (await this.#proves(keys, options)) proven.push(keys);
    }
    const best = proven.toSorted((one, other) => one.generation - other.generation).at(-1);
    if (best?.generation === newest.generation) return best;
    try {
      const { secrets } = await this.unlock(options);
      const own = secrets.get(newest.generation);
      if (own === undefined) throw keyWrong([`generation ${newest.generation} is not for a key of this host`]);
      return indexOf(own, id);
    } catch (error) {
      if (!hasCode(error, 'KEY_REQUIRED', 'KEY_WRONG')) throw error;
      if (best === undefined && this.#given.size > 0) throw wrongIndexKey(error);
      if (best === undefined) throw error.code === 'KEY_REQUIRED' ? noIndexKey(error) : error;
      encryption?.warn?.(
        `keys were rotated: this host still writes under generation ${best.generation} of ${newest.generation}. Bring it the new index key with \`keyframe key export-index\``,
      );
      return best;
    }
  }

  async #proves(keys: IndexKeys, options: Abortable): Promise<boolean> {
    const { generations } = await this.inventory(options);
    const object = generations.find(({ generation }) => generation === keys.generation);
    if (object === undefined) return false;
    const { id } = await this.#context.identity(options);
    const given = this.#given.get(keys.generation - 1);
    try {
      assertGeneration(object, keys, given && new IndexKeys(keys.generation - 1, given, id), id);
      return true;
    } catch (error) {
      if (!hasCode(error, 'CORRUPT')) throw error;
      return false;
    }
  }
}

/** A data key as an object's header, or a manifest for it, has it. */
export interface SealedKey {
  readonly generation: number;
  readonly bytes: Uint8Array;
}

/** As a manifest lists it with a pack. */
export function encodeSealedKey({ generation, bytes }: SealedKey): Buffer {
  const encoded = Buffer.alloc(4 + bytes.length);
  encoded.writeUInt32LE(generation, 0);
  encoded.set(bytes, 4);
  return encoded;
}

export function decodeSealedKey(encoded: Buffer): SealedKey | undefined {
  if (encoded.length !== 4 + SEALED_KEY_BYTES) return undefined;
  return { generation: encoded.readUInt32LE(0), bytes: encoded.subarray(4) };
}

function noConfiguration(): KeyframeError {
  return keyRequired(
    'the repository is encrypted, and this configuration has no key for it',
    'Add `encrypt` to `repositories.<name>` as the other hosts have it; `keyframe key list` shows what opens the repository.',
  );
}

function noGeneration(generation: number): KeyframeError {
  return keyRequired(
    `this host has no key of generation ${generation}`,
    'Run this on a host whose slot is in that generation: `keyframe key list` shows them.',
  );
}

function noIndexKey(cause: unknown): KeyframeError {
  return keyRequired(
    'this host can neither read the repository nor has its index key, without which nothing can be written',
    'Run `keyframe key export-index --to FILE` on a host that can read, and name the file by `indexKey` under `repositories.<name>` here.',
    cause,
  );
}

function wrongIndexKey(cause: unknown): KeyframeError {
  return new KeyframeError('KEY_WRONG', '`indexKey` is not the index key of this repository', {
    cause,
    hint: 'Run `keyframe key export-index --to FILE` on a host that can read, and bring the file here.',
  });
}
