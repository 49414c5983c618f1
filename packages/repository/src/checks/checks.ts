import type { Abortable, KeyframeError } from '@keyframe/contracts';
import type { PackUse } from '../backup/manifest.ts';
import type { BackupRecord } from '../backup/record.ts';
import type { WalObjectHeader } from '../wal/wal-archive.ts';

/** What an object of an epoch is, told by its key alone. */
export type ObjectKind = 'pack' | 'manifest' | 'record' | 'intent' | 'wal' | 'index' | 'chain';

/** An object of an epoch as a listing shows it. */
export interface ListedObject {
  readonly key: string;
  readonly kind: ObjectKind;
  readonly sizeBytes: number;
  /**
   * Tells this copy of the object from another that was put in its place, however equal: by when and where it was written.
   * Undefined where several stores are listed as one.
   */
  readonly stamp?: number | undefined;
  /** Label of the backup it belongs to; for `wal` the name of the WAL file; for `index` timeline and LSNs
   * as in the key; for `chain` the number. */
  readonly name: string;
}

/** What was read of an object, and what proves its bytes from now on. */
export interface ObjectProof {
  /** SHA-256 of the footer, or of a small object as a whole, hexadecimal: another one means another object. */
  readonly root: string;
  readonly readBytes: number;
  readonly requests: number;
  /** Of `content`: whether frames were decoded, or only held against their hashes for want of a key. */
  readonly reading?: 'decoded' | 'hashed' | undefined;
  /** Of a pack. */
  readonly table?: Pick<PackUse, 'tableOffset' | 'frames' | 'tableSha256'> | undefined;
  /** Of a WAL object. */
  readonly wal?: WalObjectHeader | undefined;
}

/** A manifest with what is wrong with either copy. */
export interface ManifestProof {
  /** The packs that the backup needs; `undefined` when no copy can be read. */
  readonly packs: readonly PackUse[] | undefined;
  readonly faults: readonly ManifestFault[];
  /** The backup cannot be restored: what is damaged in one copy is damaged in the other, or what both say is wrong. */
  readonly isLost: boolean;
}

/** Something wrong with a manifest. */
export interface ManifestFault {
  /** The object that holds the damaged copy. */
  readonly key: string;
  readonly error: KeyframeError;
}

/** Proves objects one by one. Nothing of it repairs anything, or falls back to another copy in silence. */
export interface ArchiveChecks {
  /** Key of a WAL file, or of the record of a backup. */
  keyOf(kind: 'wal' | 'record', name: string): string;
  /** Every object of the epoch whose kind is known, in no order. */
  list(options?: Abortable): AsyncIterable<ListedObject>;
  /** Reads the least that tells whether the object is the one it was: its end, checked against its size. */
  root(object: ListedObject, options?: Abortable): Promise<ObjectProof>;
  /** Reads header, frame table and footer, and proves that they fit each other, the size and the place of the object. */
  outline(object: ListedObject, options?: Abortable): Promise<ObjectProof>;
  /** Reads every byte; decodes every frame that can be opened here. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
  content(object: ListedObject, options?: Abortable): Promise<ObjectProof>;
  /** Whether one of several copies of an object, each by itself, is whole: then reads of it fall back to that one. */
  hasWholeCopy(object: ListedObject, options?: Abortable): Promise<boolean>;
  /** Whether this host has what opens encrypted content, if there is any. */
  canDecode(options?: Abortable): Promise<boolean>;
  /**
   * Reads both copies of a manifest, each by itself: index and packs; with `deep` also that the extents of one cover each
   * byte of every file once and name frames as the packs have them. Whether each byte of either copy is right, `content`
   * of the manifest and of the pack with the copy tells.
   */
  manifest(record: BackupRecord, options?: Abortable & { readonly deep?: boolean | undefined }): Promise<ManifestProof>;
}
