import type { Abortable, Encryptor, Secret } from '@keyframe/contracts';

/** An encryptor of the config file. */
export interface NamedEncryptor {
  /** What a slot says of it: `passphrase`, `gpg`, `age` … */
  readonly kind: string;
  readonly encryptor: Encryptor;
}

/** How a repository is encrypted, as the config file says it. */
export interface EncryptionContext {
  /** Any one of them opens it. */
  readonly encryptors: readonly NamedEncryptor[];
  /** What `exportIndex` gave: enough to write, not to read. */
  readonly indexKey?: Secret | undefined;
  /** Takes what an operator must know although the work goes on. */
  readonly warn?: ((message: string) => void) | undefined;
}

/** One way to open a repository. */
export interface KeySlot {
  /** Its name, the same in every generation. */
  readonly slot: string;
  readonly generation: number;
  readonly encryptor: string;
  readonly keyId: string;
  /** False: whoever can write by it can read, too. */
  readonly asymmetric: boolean;
  readonly createdAt: string;
  /** An encryptor of the config file has this kind and key id. */
  readonly configured: boolean;
  /**
   * What that encryptor can do on this host. `private-key`: it has one, which only `test` tries, since that may ask for a
   * PIN. `fails`: it does not open the slot.
   */
  readonly here: 'read-write' | 'private-key' | 'write-only' | 'fails' | 'unknown';
}

/** Keys that are used from one moment on. */
export interface KeyGeneration {
  readonly generation: number;
  readonly createdAt: string;
  /** Objects from before it may be without encryption; only ever true of the first. */
  readonly plainBefore: boolean;
}

/** All keys, oldest generation first. */
export interface KeyState {
  readonly generations: readonly KeyGeneration[];
  readonly slots: readonly KeySlot[];
}

/** What trying a slot showed. */
export interface SlotProof
  extends Pick<KeySlot, 'slot' | 'generation'>, Partial<Omit<KeySlot, 'slot' | 'generation' | 'here'>> {
  readonly result: 'opens' | 'fails' | 'not-tested';
  /** Why it fails, or was not tried. */
  readonly reason: string | undefined;
}

/** Keys of a repository: what opens it, and what is written with. */
export interface RepositoryKeys {
  /** Passphrases are tried. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
  list(options?: Abortable): Promise<KeyState>;
  /**
   * Adds a slot for each encryptor of the configuration that has none. Begins the first generation where there is none:
   * what is written from then on is encrypted.
   * @throws {KeyframeError} KEY_REQUIRED, KEY_WRONG unless this host can read
   */
  add(options?: Abortable): Promise<readonly KeySlot[]>;
  /**
   * Takes a slot out of use, in every generation.
   * @throws {KeyframeError} KEY_LAST unless another slot is proven here to open the repository, NOT_FOUND
   */
  remove(slot: string, options?: Abortable): Promise<readonly KeySlot[]>;
  /**
   * Begins a generation with new keys, opened by the same slots. Nothing is uploaded but the keys; what was written before
   * stays readable by the keys it was written with.
   * @throws {KeyframeError} KEY_REQUIRED, KEY_WRONG; CONFLICT when a slot is not in the configuration
   */
  rotate(options?: Abortable): Promise<KeyState>;
  /** Tries every slot in use. */
  test(options?: Abortable): Promise<readonly SlotProof[]>;
  /**
   * Whether what this host writes from now on is encrypted, proven by the keys it would write with.
   * @throws {KeyframeError} KEY_REQUIRED, KEY_WRONG, NOT_ENCRYPTED: it can write nothing
   */
  encrypts(options?: Abortable): Promise<boolean>;
  /** The index keys of all generations, as text for `indexKey` of a host that only writes. */
  exportIndex(options?: Abortable): Promise<Secret>;
}
