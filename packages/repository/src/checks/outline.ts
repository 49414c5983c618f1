import { hash } from 'node:crypto';
import type { Store } from '@keyframe/contracts';
import { assertSha256, type ContainerKind, decodeHead } from '../format/container.ts';
import { decodeFooter, decodeTable, FOOTER_BYTES, type Footer, type TableEntry } from '../format/container-tail.ts';
import type { Fields } from '../format/sealed-json.ts';
import { damaged } from '../objects/damage.ts';
import { readRange } from '../objects/read-range.ts';

/** Most frame tables lie within this much of the end. */
const SUFFIX_BYTES = { pack: 64 << 10, manifest: 64 << 10, wal: 4 << 10, index: 4 << 10 } as const;
/** What header and frame table may be long. */
const LIMIT_BYTES = 64 << 20;

/** A container without its frames. */
export interface Outline {
  readonly root: string;
  readonly footer: Footer;
  readonly table: readonly TableEntry[];
  /** Start and header. */
  readonly head: Buffer;
  readonly fields: Fields;
  readonly readBytes: number;
  readonly requests: number;
}

/** Reads and proves the footer alone. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export async function readFooter(
  store: Store,
  { key, sizeBytes }: { readonly key: string; readonly sizeBytes: number },
  signal: AbortSignal | undefined,
): Promise<{ readonly root: string; readonly footer: Footer }> {
  if (sizeBytes < FOOTER_BYTES) throw damaged(key, 'it is too short');
  const bytes = await readRange(store, key, sizeBytes - FOOTER_BYTES, sizeBytes, signal);
  return { root: hash('sha256', bytes), footer: decodeFooter(bytes, sizeBytes, key) };
}

/** Reads and proves header, frame table and footer. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export async function readOutline(
  store: Store,
  object: { readonly key: string; readonly sizeBytes: number; readonly kind: ContainerKind },
  signal: AbortSignal | undefined,
): Promise<Outline> {
  const { key, sizeBytes, kind } = object;
  if (sizeBytes < FOOTER_BYTES) throw damaged(key, 'it is too short');
  const reader = new SuffixReader(store, key, sizeBytes, signal);
  await reader.begin(Math.min(sizeBytes, SUFFIX_BYTES[kind]));
  const end = await reader.read(sizeBytes - FOOTER_BYTES, sizeBytes);
  const footer = decodeFooter(end, sizeBytes, key);
  const { tableOffset, tailOffset } = footer;
  if (tailOffset - tableOffset > LIMIT_BYTES) throw damaged(key, 'its frame table is impossibly long');
  const tableBytes = await reader.read(tableOffset, tailOffset);
  assertSha256(tableBytes, footer.tableSha256, key, 'frame table');
  const first = tableBytes.length === 0 ? tableOffset : Number(tableBytes.readBigUInt64LE(0));
  if (first > LIMIT_BYTES) throw damaged(key, 'its header is impossibly long');
  const table = decodeTable(tableBytes, first, tableOffset, key);
  const head = await reader.read(0, first);
  assertSha256(head, footer.headSha256, key, 'header');
  const { readBytes, requests } = reader;
  return {
    root: hash('sha256', end),
    footer,
    table,
    head,
    fields: decodeHead(head, kind, key),
    readBytes,
    requests,
  };
}

/** Serves ranges from the end of an object that was read already, and reads others. */
class SuffixReader {
  readBytes = 0;
  requests = 0;
  readonly #store: Store;
  readonly #key: string;
  readonly #sizeBytes: number;
  readonly #signal: AbortSignal | undefined;
  #suffix: Buffer = Buffer.alloc(0);

  constructor(store: Store, key: string, sizeBytes: number, signal: AbortSignal | undefined) {
    this.#store = store;
    this.#key = key;
    this.#sizeBytes = sizeBytes;
    this.#signal = signal;
  }

  async begin(suffixBytes: number): Promise<void> {
    this.#suffix = await this.#fetch(this.#sizeBytes - suffixBytes, this.#sizeBytes);
  }

  async read(start: number, end: number): Promise<Buffer> {
    const base = this.#sizeBytes - this.#suffix.length;
    return start >= base ? this.#suffix.subarray(start - base, end - base) : this.#fetch(start, end);
  }

  async #fetch(start: number, end: number): Promise<Buffer> {
    this.requests += 1;
    this.readBytes += end - start;
    return readRange(this.#store, this.#key, start, end, this.#signal);
  }
}
