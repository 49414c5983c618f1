import type { Abortable } from '@keyframe/contracts';
import type { BackupRecord } from '../backup/record.ts';

/** The place of one entry in a chain, and the hash by which the next one names it. */
export interface ChainHead {
  readonly number: number;
  /** SHA-256 of the entry's bytes, hexadecimal. */
  readonly sha256: string;
}

/** Where the newest head of each chain is kept outside the repository, so that an older copy of it is recognised. */
export interface HeadMemory {
  get(chain: string): Promise<ChainHead | undefined>;
  set(chain: string, head: ChainHead): Promise<void>;
}

/** What signs and whom to believe. Without it nothing is signed, and nothing signed is refused. */
export interface SigningContext {
  /** The private key, PKCS #8 in PEM, asked for when something is to be signed. Absent: this host signs nothing. */
  readonly key?: (() => string) | undefined;
  /** Public keys to believe, as `ed25519:<base64>`. With none, the signers that the repository names are believed. */
  readonly trusted: readonly string[];
  readonly heads?: HeadMemory | undefined;
}

/** A range of WAL segments of one timeline, by the names of its first and last. */
export interface NamedSegments {
  readonly first: string;
  readonly last: string;
}

/** What an expiry is about to remove. */
export interface ExpiredThings {
  /** Labels. */
  readonly backups: readonly string[];
  /** Names of WAL files of any kind. */
  readonly wal: readonly string[];
}

/** A backup as a checkpoint vouches for it. */
export interface VouchedBackup {
  readonly label: string;
  /** Of the bytes of its `backup.json`, hexadecimal. */
  readonly sha256: string;
}

/** How far a signature can be believed. */
export type Trust =
  /** By a key that the config file names, or that such a key introduced. */
  | 'trusted'
  /** By a key that only the repository names, while the config file names none. */
  | 'first-use'
  /** By a key that nobody vouches for. */
  | 'foreign'
  /** The signature does not fit the bytes. */
  | 'wrong'
  | 'unsigned';

/** Whose signature an object carries, and what it is worth. */
export interface SignatureVerdict {
  readonly trust: Trust;
  /** Of the key that the signature names. */
  readonly keyId?: string | undefined;
}

/** What is wrong with a chain. */
export interface ChainFault {
  readonly kind: 'missing' | 'damaged' | 'moved' | 'relinked' | 'foreign' | 'unsigned' | 'rolled-back' | 'rewritten';
  readonly key: string;
  readonly message: string;
}

/** What a walk along the whole chain found. */
export interface ChainAudit {
  readonly entries: number;
  readonly head: ChainHead | undefined;
  readonly faults: readonly ChainFault[];
  /** The head that this host, or the caller, knew before. Without one, nobody can tell an older copy from the newest. */
  readonly known: ChainHead | undefined;
  /** Backups that the chain vouches for and that no expiry removed. */
  readonly backups: ReadonlyMap<string, string>;
  /** Labels of backups that an expiry removed. */
  readonly expired: ReadonlySet<string>;
  /** WAL files that the chain vouches for and that no expiry removed. */
  readonly walFiles: number;
  /** Identity of a WAL file as it was signed, hexadecimal; `undefined` when the chain does not name it. */
  walIdentity(name: string): string | undefined;
  /** Names of all these WAL files. */
  walNames(): Iterable<string>;
}

/** The signed history of one epoch: numbered entries, each of which names the hash of the one before. */
export interface SignedChain {
  /** A signing key is configured. */
  readonly signs: boolean;
  /** Public keys are configured, so that foreign signatures are refused. */
  readonly pinned: boolean;
  /**
   * Signs what was published and archived since the last checkpoint. Nothing without a signing key: `undefined`.
   * @throws {KeyframeError} CHAIN_BROKEN when the chain in the repository is not the one this host knew
   */
  checkpoint(options?: Abortable): Promise<ChainHead | undefined>;
  /**
   * Signs what an expiry removes. Call it before the first object goes: what is still there then is no contradiction.
   * Nothing without a signing key: `undefined`.
   * @throws {KeyframeError} CHAIN_BROKEN
   */
  expire(removed: ExpiredThings, options?: Abortable): Promise<ChainHead | undefined>;
  /** The newest entry, unproven. */
  head(options?: Abortable): Promise<ChainHead | undefined>;
  /** Walks the whole chain and proves it. `known` is a head kept elsewhere, beside the one this host remembers. */
  audit(options?: Abortable & { readonly known?: ChainHead | undefined }): Promise<ChainAudit>;
  /** Remembers a head that was proven. */
  remember(head: ChainHead): Promise<void>;
  /** Who signed a backup's record, and what that is worth. @throws {KeyframeError} NOT_FOUND, CORRUPT */
  signatureOf(label: string, options?: Abortable): Promise<SignatureVerdict & { readonly sha256: string }>;
  /**
   * Refuses a backup whose record neither carries a trusted signature nor is vouched for by the last checkpoint, or is
   * another one by now. Does nothing unless public keys are configured.
   * @throws {KeyframeError} SIGNATURE_INVALID
   */
  assertTrusted(record: BackupRecord, options?: Abortable): Promise<void>;
}
