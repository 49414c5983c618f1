/** Reading parts of an object of the WAL index, from nearby or from the store. @packageDocumentation */
import { hasCode, type Store } from '@keyframe/contracts';
import { encryptionOf } from '../encryption/object-encryption.ts';
import type { ObjectCipher } from '../encryption/object-cipher.ts';
import type { EpochContext } from '../epoch-context.ts';
import { assertSha256, decodeHead, decodeStart, START_BYTES } from '../format/container.ts';
import { decodeFooter, decodeTable, FOOTER_BYTES, type TableEntry } from '../format/container-tail.ts';
import { damaged } from '../objects/damage.ts';
import { readSmall } from '../objects/read-range.ts';
import { withCopies } from '../objects/with-copies.ts';
import { assertIndexed } from './index-place.ts';
import type { WalIndexCache, WalIndexRef } from './wal-index.ts';

/** Up to here an object is read in one piece. */
const WHOLE_BYTES = 64 << 10;
/** Of larger ones these are read first: header and summary lie in the one, frame table and footer in the other. */
const HEAD_BYTES = 32 << 10;
const TAIL_BYTES = 2 << 10;

/** Where an object is read from. */
export interface IndexSource {
  readonly context: EpochContext;
  readonly ref: WalIndexRef;
  readonly cache: WalIndexCache | undefined;
  readonly signal: AbortSignal | undefined;
}

interface Span {
  readonly start: number;
  readonly bytes: Buffer;
}

type ReadSpan = (start: number, end: number) => Promise<Buffer>;

/** What is known of an object before any of its frames is read. */
interface Outline {
  readonly entries: readonly TableEntry[];
  readonly cipher: ObjectCipher | undefined;
  readonly spans: readonly Span[];
}

/** An object whose header and frame table are proven; its frames are proven as they are read. */
export class IndexObject {
  readonly #source: IndexSource;
  readonly #outline: Outline;
  /** What was read of it. */
  readonly #spans: Span[];

  private constructor(source: IndexSource, outline: Outline) {
    this.#source = source;
    this.#outline = outline;
    this.#spans = [...outline.spans];
  }

  /** @throws {KeyframeError} CORRUPT, NOT_FOUND, KEY_REQUIRED */
  static async open(source: IndexSource): Promise<IndexObject> {
    const { cache, context, ref, signal } = source;
    const near = cache && (await nearest(cache, source));
    if (near !== undefined) return new IndexObject(source, near);
    const outline = await withCopies(context.store, ref.key, (copy) =>
      readOutline(source, (start, end) => readSpan(copy, source, start, end)),
    );
    for (const { start, bytes } of outline.spans) await cache?.set(ref, start, bytes);
    signal?.throwIfAborted();
    return new IndexObject(source, outline);
  }

  get frames(): number {
    return this.#outline.entries.length;
  }

  plainBytes(number: number): number {
    return this.#outline.entries[number]?.plainBytes ?? 0;
  }

  /**
   * Reads frames that follow each other in one go, if they were not read before.
   * @throws {KeyframeError} CORRUPT, NOT_FOUND
   */
  async load(first: number, last: number): Promise<void> {
    const { context, ref, cache } = this.#source;
    const [from, to] = [this.#entry(first), this.#entry(last)];
    const [start, end] = [from.offset, to.offset + to.storedBytes];
    const verify = (bytes: Buffer): void => {
      for (let number = first; number <= last; number++) {
        const { offset, storedBytes, sha256 } = this.#entry(number);
        const at = offset - start;
        assertSha256(bytes.subarray(at, at + storedBytes), sha256, ref.key, `frame ${number}`);
      }
    };
    const held = spanOf(this.#spans, start, end);
    if (held !== undefined && isProven(held, verify)) return;
    const near = await cache?.get(ref, start, end);
    const bytes = near && buffered(near);
    if (bytes !== undefined && isProven(bytes, verify)) {
      this.#spans.unshift({ start, bytes });
      return;
    }
    const read = await withCopies(context.store, ref.key, async (copy) => {
      const found = await readSpan(copy, this.#source, start, end);
      verify(found);
      return found;
    });
    await cache?.set(ref, start, read);
    this.#spans.unshift({ start, bytes: read });
  }

  /** The plain content of a frame. @throws {KeyframeError} CORRUPT, NOT_FOUND */
  async read(number: number): Promise<Uint8Array> {
    const { offset, storedBytes, plainBytes } = this.#entry(number);
    await this.load(number, number);
    const { context, ref } = this.#source;
    const stored = spanOf(this.#spans, offset, offset + storedBytes);
    if (stored === undefined) throw damaged(ref.key, `frame ${number} is not there`);
    return context.codecs.open(stored, { number, plainBytes, cipher: this.#outline.cipher }, ref.key);
  }

  #entry(number: number): TableEntry {
    const entry = this.#outline.entries[number];
    if (entry === undefined) throw damaged(this.#source.ref.key, `it has no frame ${number}`);
    return entry;
  }
}

const buffered = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

function spanOf(spans: readonly Span[], start: number, end: number): Buffer | undefined {
  const span = spans.find((each) => each.start <= start && end <= each.start + each.bytes.length);
  return span?.bytes.subarray(start - span.start, end - span.start);
}

function isProven(bytes: Buffer, verify: (bytes: Buffer) => void): boolean {
  try {
    verify(bytes);
    return true;
  } catch (error) {
    if (hasCode(error, 'CORRUPT')) return false;
    throw error;
  }
}

/** From the cache alone; a damaged copy is none. */
async function nearest(cache: WalIndexCache, source: IndexSource): Promise<Outline | undefined> {
  let isMissing = false;
  try {
    return await readOutline(source, async (start, end) => {
      const bytes = isMissing ? undefined : await cache.get(source.ref, start, end);
      isMissing ||= bytes === undefined;
      return buffered(bytes ?? new Uint8Array());
    });
  } catch (error) {
    if (!hasCode(error, 'CORRUPT')) throw error;
    return undefined;
  }
}

async function readSpan(store: Store, { ref, signal }: IndexSource, start: number, end: number): Promise<Buffer> {
  const bytes = await readSmall(
    store,
    ref.key,
    signal,
    start === 0 && end === ref.sizeBytes ? undefined : { start, end },
  );
  if (bytes.length !== end - start) throw damaged(ref.key, `it ends ${end - start - bytes.length} bytes early`);
  return bytes;
}

/** Proves header, frame table and the first frame. */
async function readOutline(source: IndexSource, read: ReadSpan): Promise<Outline> {
  const { context, ref, signal } = source;
  const { key, sizeBytes } = ref;
  const spans = await firstSpans(read, sizeBytes);
  const take = async (start: number, end: number): Promise<Buffer> => {
    const held = spanOf(spans, start, end);
    if (held !== undefined) return held;
    if (start < 0 || end > sizeBytes || end < start) throw damaged(key, 'its parts lie outside of it');
    const bytes = await read(start, end);
    spans.push({ start, bytes });
    return bytes;
  };
  const footer = decodeFooter(await take(Math.max(0, sizeBytes - FOOTER_BYTES), sizeBytes), sizeBytes, key);
  const headBytes = START_BYTES + decodeStart(await take(0, START_BYTES), 'index', key);
  const head = await take(0, headBytes);
  assertSha256(head, footer.headSha256, key, 'header');
  const fields = decodeHead(head, 'index', key);
  assertIndexed(context, fields, key);
  const table = await take(footer.tableOffset, footer.tailOffset);
  assertSha256(table, footer.tableSha256, key, 'frame table');
  const entries = decodeTable(table, headBytes, footer.tableOffset, key);
  const [first] = entries;
  if (first === undefined) throw damaged(key, 'it has no frame');
  const summary = await take(first.offset, first.offset + first.storedBytes);
  assertSha256(summary, first.sha256, key, 'frame 0');
  const { keyring } = context;
  const encryption = encryptionOf(fields);
  if (encryption === undefined && !(await keyring.allowsPlain()))
    throw damaged(key, 'it is not encrypted, and the repository is from its beginning');
  if (encryption !== undefined && encryption.sealed === undefined) throw damaged(key, 'its header has no data key');
  const cipher = encryption?.sealed && (await keyring.data(encryption.sealed, key, { signal }));
  return { entries, cipher, spans };
}

async function firstSpans(read: ReadSpan, sizeBytes: number): Promise<Span[]> {
  if (sizeBytes <= WHOLE_BYTES) return [{ start: 0, bytes: await read(0, sizeBytes) }];
  const tail = sizeBytes - TAIL_BYTES;
  const [first, last] = await Promise.all([read(0, HEAD_BYTES), read(tail, sizeBytes)]);
  return [
    { start: 0, bytes: first },
    { start: tail, bytes: last },
  ];
}
