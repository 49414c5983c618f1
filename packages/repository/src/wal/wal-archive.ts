import type { Abortable, ByteSource, ByteStream, TimelineId } from '@keyframe/contracts';
import type { Origin } from '../translate/origin.ts';
import type { WalInventory } from './wal-inventory.ts';

/** What the caller knows of a file's origin; checked against the epoch and against the name. */
export interface WalFacts {
  readonly systemIdentifier: string;
  /** From the segment's header, for a segment or partial. */
  readonly timeline?: TimelineId | undefined;
  /** From the segment's header, for a segment or partial. */
  readonly segmentSizeBytes?: number | undefined;
}

/** An open file that is read into memory of the caller. A `FileHandle` is one. */
export interface WalReader extends AsyncDisposable {
  read(target: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
}

/** A WAL file on its way into the archive. */
export interface WalFile {
  /** As PostgreSQL names it: segment, `.history`, `.backup` or `.partial`. */
  readonly name: string;
  /** May be read twice, so it must be re-openable and have a size. Its chunks stay as they are. */
  readonly content: ByteSource;
  /** Another way to the same bytes, which takes no memory of its own. */
  readonly reader?: (() => Promise<WalReader>) | undefined;
  readonly facts: WalFacts;
  /** Id of the one copy of the cluster that a history file's timeline is adopted by. */
  readonly adoption?: string | undefined;
  /** Of a file that is copied from another repository. */
  readonly origin?: Origin | undefined;
}

/** Bytes of a segment that is still being written, from `start` on. They stay as they are. */
export interface WalPart {
  /** Name of the segment. */
  readonly segment: string;
  readonly start: number;
  readonly content: ByteSource & { readonly sizeBytes: number };
  readonly facts: WalFacts & { readonly segmentSizeBytes: number };
}

/** The first part of a WAL object, readable with one small range read. */
export interface WalObjectHeader {
  readonly format: number;
  readonly name: string;
  readonly kind: 'segment' | 'history' | 'backup' | 'partial' | 'part';
  readonly systemIdentifier: string;
  readonly timeline: TimelineId;
  /** Undefined for history and backup files whose origin did not tell. */
  readonly segmentSizeBytes: number | undefined;
  readonly sizeBytes: number;
  /**
   * By which equal content is recognised, hexadecimal: the SHA-256 of the plain content, or where it is encrypted a keyed
   * hash of that, which differs from generation to generation.
   */
  readonly identity: string;
  /** Of the keys; 0: not encrypted. */
  readonly generation: number;
  readonly codec: string;
  /** Who adopted the timeline of a history file; absent where the cluster archived it by itself. */
  readonly adoption: string | undefined;
  /** The object of another repository it was copied from. */
  readonly origin?: Origin | undefined;
}

/** The WAL files of one epoch. Every object is written once. */
export interface WalArchive {
  /**
   * Stores a file, or confirms that the archive holds the same bytes already, and for no other adoption.
   * @throws {KeyframeError} WAL_MISMATCH, WRONG_CLUSTER, WRONG_TIMELINE, WAL_INVALID, CORRUPT
   */
  put(file: WalFile, options?: Abortable): Promise<'archived' | 'already-archived'>;
  /**
   * Opens a file; `undefined` when the store answered that there is none.
   * The content throws CORRUPT before its last piece unless all bytes are the ones that were archived: use nothing of
   * it before its end. Read it, or leave it by a loop: an unread one keeps the store's stream open.
   * @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT
   */
  get(
    name: string,
    options?: Abortable,
  ): Promise<{ readonly header: WalObjectHeader; readonly content: ByteStream } | undefined>;
  /** The header alone: one small read. */
  header(name: string, options?: Abortable): Promise<WalObjectHeader | undefined>;
  /**
   * What {@link WalObjectHeader.identity} is of content with that SHA-256, in that generation of keys.
   * @throws {KeyframeError} KEY_REQUIRED, KEY_WRONG
   */
  identity(sha256: string, generation: number, options?: Abortable): Promise<string>;
  has(name: string, options?: Abortable): Promise<boolean>;
  /**
   * Stores a part of an open segment, or confirms that the archive holds the same bytes already. What it is called is
   * returned.
   * @throws {KeyframeError} WAL_MISMATCH, WRONG_CLUSTER, WAL_INVALID, CORRUPT
   */
  putPart(part: WalPart, options?: Abortable): Promise<string>;
  /** How many bytes of a segment are there in parts, without a gap from its beginning. */
  streamedBytes(segment: string, options?: Abortable): Promise<number>;
  /**
   * A segment as far as it is known: the whole one if it is archived, else its parts up to `endBytes`, with zeros behind
   * them. For a recovery that ends before those, never for a standby. `undefined` when there is neither.
   */
  getStreamed(
    segment: string,
    endBytes: number,
    options?: Abortable,
  ): Promise<{ readonly header: WalObjectHeader; readonly content: ByteStream } | undefined>;
  /**
   * Removes the parts of a segment that is archived whole, each proven to hold the same bytes: by `known`, who stored it
   * from these bytes, or by its hash. Names of parts with other bytes are returned; they stay.
   */
  removeParts(
    segment: string,
    proof: {
      readonly known: ReadonlySet<string>;
      /** SHA-256, hexadecimal, of a range of the whole segment; undefined: leave what is not known. */
      readonly sha256?: ((start: number, end: number) => Promise<string>) | undefined;
    },
    options?: Abortable,
  ): Promise<readonly string[]>;
  /** Lists the archive. The segment size is taken from an object's header when it is not given. */
  inventory(options?: Abortable & { readonly segmentSizeBytes?: number | undefined }): Promise<WalInventory>;
}
