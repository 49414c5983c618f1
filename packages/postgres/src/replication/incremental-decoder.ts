/**
 * Reads the files `INCREMENTAL.<name>` of an incremental base backup: three numbers, the numbers of the blocks, zeros up to
 * a whole block, then the blocks.
 * @see src/backend/backup/basebackup_incremental.c and src/bin/pg_combinebackup/reconstruct.c in PostgreSQL 17 and newer
 * @packageDocumentation
 */
import { parseRelationPath } from '../page/relation-path.ts';
import { corrupt } from './tar-header.ts';
import type { BackupEntry, IncrementalFile } from './types.ts';

const BLOCK_BYTES = 8192;
const MAGIC = 0xd3ae1f0d;
const NUMBERS_BYTES = 12;
/** The largest segment file that PostgreSQL can be built for; far more than the 1 GiB of every common build. */
const MOST_BLOCKS = 1 << 24;
const PREFIX = 'INCREMENTAL.';

/** Takes a file: its entry, its content in pieces, its end. A promise means "wait". */
export interface EntrySink {
  entry(entry: BackupEntry): void | Promise<void>;
  bytes(view: Uint8Array): void | Promise<void>;
  end(): void | Promise<void>;
}

/** Where the file stands whose blocks the server sent, or `undefined` for a file that it sent whole. */
function incrementalPath(path: string): string | undefined {
  const slash = path.lastIndexOf('/') + 1;
  if (!path.startsWith(PREFIX, slash)) return undefined;
  const whole = path.slice(0, slash) + path.slice(slash + PREFIX.length);
  return parseRelationPath(whole) === undefined ? undefined : whole;
}

/** Passes whole files on as they are, and files of blocks with what their head says. */
export class IncrementalDecoder implements EntrySink {
  readonly #sink: EntrySink;
  /** The entry of a file of blocks whose head is not complete. */
  #entry: BackupEntry | undefined;
  #head: Buffer = Buffer.alloc(0);
  #headBytes = 0;

  constructor(sink: EntrySink) {
    this.#sink = sink;
  }

  entry(entry: BackupEntry): void | Promise<void> {
    const path = entry.type === 'file' ? incrementalPath(entry.path) : undefined;
    if (path === undefined) return this.#sink.entry(entry);
    this.#entry = { ...entry, path };
    this.#head = Buffer.alloc(NUMBERS_BYTES);
    this.#headBytes = 0;
    return undefined;
  }

  bytes(view: Uint8Array): void | Promise<void> {
    const entry = this.#entry;
    if (entry === undefined) return this.#sink.bytes(view);
    let offset = this.#gather(view, 0);
    if (this.#headBytes === NUMBERS_BYTES && this.#head.length === NUMBERS_BYTES) {
      const whole = Buffer.alloc(headBytes(this.#head, entry));
      this.#head.copy(whole);
      this.#head = whole;
      offset = this.#gather(view, offset);
    }
    if (this.#headBytes < this.#head.length) return undefined;
    this.#entry = undefined;
    const incremental = readHead(this.#head, entry);
    const sizeBytes = incremental.blocks.length * BLOCK_BYTES;
    const rest = view.subarray(offset);
    const waiting = this.#sink.entry({ ...entry, sizeBytes, incremental });
    if (waiting !== undefined) return waiting.then(() => (rest.length === 0 ? undefined : this.#sink.bytes(rest)));
    return rest.length === 0 ? undefined : this.#sink.bytes(rest);
  }

  end(): void | Promise<void> {
    if (this.#entry !== undefined) throw corrupt(`${PREFIX} of ${this.#entry.path} ends within its head`);
    return this.#sink.end();
  }

  #gather(view: Uint8Array, offset: number): number {
    const used = Math.min(this.#head.length - this.#headBytes, view.length - offset);
    this.#head.set(view.subarray(offset, offset + used), this.#headBytes);
    this.#headBytes += used;
    return offset + used;
  }
}

function headBytes(numbers: Buffer, { path, sizeBytes }: BackupEntry): number {
  const count = numbers.readUInt32LE(4);
  if (numbers.readUInt32LE(0) !== MAGIC || count > MOST_BLOCKS) throw corrupt(`${PREFIX} of ${path} has no known head`);
  const bare = NUMBERS_BYTES + 4 * count;
  // Without blocks there is nothing to align.
  const padded = count === 0 ? bare : Math.ceil(bare / BLOCK_BYTES) * BLOCK_BYTES;
  if (sizeBytes !== padded + count * BLOCK_BYTES) throw corrupt(`${PREFIX} of ${path} has ${sizeBytes} bytes`);
  return padded;
}

function readHead(head: Buffer, { path }: BackupEntry): IncrementalFile {
  const blocks = new Uint32Array(head.readUInt32LE(4));
  const truncationBlocks = head.readUInt32LE(8);
  let after = 0;
  for (const index of blocks.keys()) {
    const block = head.readUInt32LE(NUMBERS_BYTES + 4 * index);
    if (block < after || block >= MOST_BLOCKS) throw corrupt(`${PREFIX} of ${path} has its blocks in no order`);
    blocks[index] = block;
    after = block + 1;
  }
  if (truncationBlocks > MOST_BLOCKS) throw corrupt(`${PREFIX} of ${path} is cut at block ${truncationBlocks}`);
  return { blocks, truncationBlocks, lengthBlocks: Math.max(truncationBlocks, after) };
}
