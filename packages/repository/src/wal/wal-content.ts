/**
 * Reads a WAL object from its first byte to its last, and gives its content out as it proves it.
 * @packageDocumentation
 */
import { createHash, hash, type Hash } from 'node:crypto';
import type { ByteStream } from '@keyframe/contracts';
import { type ObjectCipher, TAG_BYTES } from '../encryption/object-cipher.ts';
import type { EpochContext } from '../epoch-context.ts';
import { assertSha256, decodeStart, START_BYTES } from '../format/container.ts';
import {
  decodeFooter,
  decodeTable,
  FOOTER_BYTES,
  TABLE_ENTRY_BYTES,
  type TableEntry,
} from '../format/container-tail.ts';
import { FRAME_HEADER_BYTES, readFrameHeader } from '../format/frame.ts';
import { ByteCursor } from '../objects/byte-cursor.ts';
import { damaged } from '../objects/damage.ts';
import type { WalObjectHeader } from './wal-archive.ts';
import { isIndex, type OpenedHeader, readHeader } from './wal-object.ts';

/** What may follow the frame table: nothing today, sections of a later release. */
const TAIL_LIMIT_BYTES = 1 << 20;

/** Header and content of an object, the content verified as it is read. */
export async function decodeWalObject(
  context: EpochContext,
  stream: ByteStream,
  { key, name }: { readonly key: string; readonly name: string },
): Promise<{ readonly header: WalObjectHeader; readonly content: ByteStream }> {
  const cursor = new ByteCursor(stream, key);
  try {
    const start = await cursor.read(START_BYTES);
    const head = Buffer.concat([start, await cursor.read(decodeStart(start, 'wal', key))]);
    const header = readHeader(context, head, key);
    if (header.name !== name) throw damaged(key, `it holds ${header.name}`);
    const { encryption: _, ...plain } = header;
    const identify = await opener(context, header, key);
    return { header: plain, content: contentOf(context, cursor, { head, header, key, ...identify }) };
  } catch (error) {
    await cursor.close();
    throw error;
  }
}

/** How frames are decrypted and content is recognised. @throws {KeyframeError} KEY_REQUIRED, KEY_WRONG, CORRUPT */
async function opener(
  { keyring }: EpochContext,
  { encryption, kind }: OpenedHeader,
  key: string,
): Promise<Pick<OpenedWal, 'cipher' | 'identityOf'>> {
  if (encryption === undefined) {
    if (await keyring.allowsPlain()) return { cipher: undefined, identityOf: (sha256) => sha256 };
    throw damaged(key, 'it is not encrypted, and the repository is from its beginning');
  }
  const { generation, sealed, salt } = encryption;
  const index = await keyring.index(generation);
  const identityOf = (sha256: string): string => index.walIdentity(sha256);
  if (isIndex({ kind }) && salt !== undefined) return { cipher: index.cipher(key, salt), identityOf };
  if (sealed === undefined) throw damaged(key, 'its header has no data key');
  return { cipher: await keyring.data(sealed, key), identityOf };
}

interface OpenedWal {
  readonly cipher: ObjectCipher | undefined;
  readonly identityOf: (sha256: string) => string;
  readonly head: Buffer;
  readonly header: WalObjectHeader;
  readonly key: string;
}

async function* contentOf(context: EpochContext, cursor: ByteCursor, wal: OpenedWal): AsyncGenerator<Uint8Array> {
  const { header, head, key, cipher } = wal;
  const frames = new FrameReader(cursor, key, head.length);
  const content = createHash('sha256');
  const ahead: Promise<Uint8Array>[] = [];
  let planned = 0;
  try {
    for (;;) {
      while (planned < header.sizeBytes && ahead.length < context.tuning.framesInFlight) {
        const { stored, entry, number } = await frames.next(header.sizeBytes - planned);
        planned += entry.plainBytes;
        const opened = context.codecs.open(stored, { number, plainBytes: entry.plainBytes, cipher }, key);
        opened.catch(() => undefined); // reported where it is awaited
        ahead.push(opened);
      }
      const plain = await ahead.shift();
      if (plain === undefined) break;
      content.update(plain);
      if (planned >= header.sizeBytes && ahead.length === 0) await frames.end(head, content, wal);
      yield plain;
    }
    if (header.sizeBytes === 0) await frames.end(head, content, wal);
  } finally {
    await cursor.close();
  }
}

/** Takes one frame after the other from an object and keeps what its table must say. */
class FrameReader {
  readonly #cursor: ByteCursor;
  readonly #key: string;
  readonly #headBytes: number;
  readonly #entries: TableEntry[] = [];
  #offset: number;

  constructor(cursor: ByteCursor, key: string, headBytes: number) {
    this.#cursor = cursor;
    this.#key = key;
    this.#headBytes = headBytes;
    this.#offset = headBytes;
  }

  async next(mostBytes: number): Promise<{ stored: Buffer; entry: TableEntry; number: number }> {
    const start = await this.#cursor.read(FRAME_HEADER_BYTES);
    const { payloadBytes, plainBytes } = readFrameHeader(start, this.#key);
    if (plainBytes === 0 || plainBytes > mostBytes || payloadBytes > plainBytes + TAG_BYTES)
      throw damaged(this.#key, 'its frames hold more than its header says');
    const stored = Buffer.concat([start, await this.#cursor.read(payloadBytes)]);
    const sha256 = hash('sha256', stored, 'buffer');
    const entry = { offset: this.#offset, storedBytes: stored.length, plainBytes, sha256 };
    this.#offset += stored.length;
    return { stored, entry, number: this.#entries.push(entry) - 1 };
  }

  /** Everything after the frames, and the hash of the content. */
  async end(head: Buffer, content: Hash, { header, identityOf }: OpenedWal): Promise<void> {
    const key = this.#key;
    if (identityOf(content.copy().digest('hex')) !== header.identity) throw damaged(key, 'its content fails its hash');
    const table = await this.#cursor.read(this.#entries.length * TABLE_ENTRY_BYTES);
    const rest = await this.#cursor.rest(TAIL_LIMIT_BYTES + FOOTER_BYTES);
    const tail = rest.subarray(0, Math.max(0, rest.length - FOOTER_BYTES));
    const objectBytes = this.#offset + table.length + rest.length;
    const footer = decodeFooter(rest.subarray(tail.length), objectBytes, key);
    assertSha256(head, footer.headSha256, key, 'header');
    assertSha256(table, footer.tableSha256, key, 'frame table');
    assertSha256(tail, footer.tailSha256, key, 'tail');
    for (const [number, listed] of decodeTable(table, this.#headBytes, this.#offset, key).entries()) {
      const read = this.#entries[number];
      if (read === undefined || Buffer.compare(read.sha256, listed.sha256) !== 0)
        throw damaged(key, `its frame ${number} fails its hash`);
    }
  }
}
