import { hash } from 'node:crypto';
import { hasCode, type KeyframeError, type Store } from '@keyframe/contracts';
import type { ObjectCipher } from '../encryption/object-cipher.ts';
import { encryptionOf } from '../encryption/object-encryption.ts';
import type { EpochContext } from '../epoch-context.ts';
import { type ChunkLine, decodeChunkIndex, SECTION } from '../format/chunk-index.ts';
import { assertSha256, decodeHead } from '../format/container.ts';
import {
  decodeDirectory,
  decodeFooter,
  decodeTable,
  FOOTER_BYTES,
  type Footer,
  TABLE_ENTRY_BYTES,
  type TableEntry,
  type TailSection,
} from '../format/container-tail.ts';
import type { Fields } from '../format/sealed-json.ts';
import type { Codecs } from '../objects/codecs.ts';
import { damaged } from '../objects/damage.ts';
import { readProven } from '../objects/with-copies.ts';
import type { ManifestReference } from './record.ts';

/** Most manifests have footer, index and table within this. */
const SUFFIX_BYTES = 64 << 10;

/** Where a manifest's bytes can be read: the object, or a pack that holds a copy. */
interface Place {
  readonly key: string;
  readonly base: number;
}

/** The verified bytes of a manifest. Each read tries the object, then the copy in the last pack. */
export class ManifestSource {
  /** What was found damaged in one place and read from another, each once. */
  readonly damage: KeyframeError[] = [];
  readonly key: string;
  readonly #store: Store;
  readonly #codecs: Codecs;
  readonly #places: readonly Place[];
  readonly #keyring: EpochContext['keyring'];
  /** Key under which the manifest was written, which its encryption names. */
  readonly #objectKey: string;
  #cipher: ObjectCipher | undefined;
  #generation: number | undefined;

  constructor(
    { store, codecs, keyring }: Pick<EpochContext, 'store' | 'codecs' | 'keyring'>,
    reference: ManifestReference,
    objectKey: string = reference.key,
  ) {
    this.#keyring = keyring;
    this.#objectKey = objectKey;
    this.key = reference.key;
    this.#store = store;
    this.#codecs = codecs;
    this.#places = [
      { key: reference.key, base: 0 },
      { key: reference.copy.key, base: reference.copy.offset },
    ];
  }

  /** Reads a range that `verify` accepts. @throws {KeyframeError} CORRUPT when no copy is whole */
  async read(
    start: number,
    end: number,
    verify: (bytes: Buffer, key: string) => void,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    const faults: KeyframeError[] = [];
    for (const { key, base } of this.#places) {
      try {
        const proof = { verify: (found: Buffer) => verify(found, key), signal };
        const bytes = await readProven(this.#store, key, { start: base + start, end: base + end }, proof);
        for (const fault of faults) this.#note(fault);
        return bytes;
      } catch (error) {
        if (!hasCode(error, 'CORRUPT')) throw error;
        faults.push(error);
      }
    }
    throw damaged(this.key, `${faults[0]?.message}; and its copy cannot be used`, { cause: faults[1] });
  }

  /** The plain bytes of a chunk. */
  async chunk(number: number, entry: TableEntry, signal: AbortSignal | undefined): Promise<Buffer> {
    const end = entry.offset + entry.storedBytes;
    const stored = await this.read(
      entry.offset,
      end,
      (bytes, key) => assertSha256(bytes, entry.sha256, key, `frame ${number}`),
      signal,
    );
    const expected = { number, plainBytes: entry.plainBytes, cipher: this.#cipher };
    const plain = await this.#codecs.open(stored, expected, this.key);
    return Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength);
  }

  /** Generation of its keys; undefined: it is not encrypted. */
  get generation(): number | undefined {
    return this.#generation;
  }

  /** Makes ready to read chunks, by what the header says. @throws {KeyframeError} KEY_REQUIRED, KEY_WRONG, CORRUPT */
  async unlock(header: Fields, signal: AbortSignal | undefined): Promise<void> {
    const encryption = encryptionOf(header);
    if (encryption === undefined) {
      if (await this.#keyring.allowsPlain({ signal })) return;
      throw damaged(this.key, 'it is not encrypted, and the repository is from its beginning');
    }
    const { generation, salt } = encryption;
    if (salt === undefined) throw damaged(this.key, 'its header names no salt');
    this.#cipher = (await this.#keyring.index(generation, { signal })).cipher(this.#objectKey, salt);
    this.#generation = generation;
  }

  /** A section of the tail, plain. */
  section({ id, sealed }: TailSection, bytes: Buffer): Buffer {
    if (sealed !== (this.#cipher !== undefined))
      throw damaged(this.key, `its section ${id} is not as encrypted as the rest`);
    return this.#cipher?.openSection(id, bytes) ?? bytes;
  }

  #note(fault: KeyframeError): void {
    if (!this.damage.some((known) => known.message === fault.message)) this.damage.push(fault);
  }
}

/** The skeleton of a manifest: its chunks by kind, not their content. */
export interface ManifestIndex {
  readonly table: readonly TableEntry[];
  readonly lines: readonly ChunkLine[];
}

/** Reads and proves footer, table, index and header, starting from the footer's hash in `backup.json`. */
export async function readManifestIndex(
  source: ManifestSource,
  reference: ManifestReference,
  signal: AbortSignal | undefined,
): Promise<ManifestIndex> {
  const { sizeBytes, root } = reference;
  if (sizeBytes < FOOTER_BYTES) throw damaged(reference.key, 'it is too short');
  const suffix = await source.read(
    Math.max(0, sizeBytes - SUFFIX_BYTES),
    sizeBytes,
    (bytes, key) => assertSha256(bytes.subarray(-FOOTER_BYTES), Buffer.from(root, 'hex'), key, 'footer'),
    signal,
  );
  const footer = decodeFooter(suffix.subarray(-FOOTER_BYTES), sizeBytes, reference.key);
  const [start, end] = [footer.tableOffset, footer.tailOffset + footer.tailBytes];
  const inSuffix = suffix.subarray(suffix.length - (sizeBytes - start), suffix.length - FOOTER_BYTES);
  const cut = sizeBytes - start <= suffix.length && provesIndex(inSuffix, footer);
  const both = cut ? inSuffix : await source.read(start, end, (bytes, key) => assertIndex(bytes, footer, key), signal);
  const tableBytes = footer.frames * TABLE_ENTRY_BYTES;
  const first = tableBytes === 0 ? start : Number(both.readBigUInt64LE(0));
  const table = decodeTable(both.subarray(0, tableBytes), first, start, reference.key);
  const head = await source.read(0, first, (bytes, key) => void headOf(bytes, footer, key), signal);
  await source.unlock(headOf(head, footer, reference.key), signal);
  return { table, lines: readLines(source, both.subarray(tableBytes), footer.frames) };
}

function readLines(source: ManifestSource, tail: Buffer, frames: number): ChunkLine[] {
  const { key } = source;
  const section = decodeDirectory(tail, key).find(({ id }) => id === SECTION.chunkIndex);
  if (section === undefined) throw damaged(key, 'it has no chunk index');
  const bytes = tail.subarray(section.offset, section.offset + section.sizeBytes);
  return decodeChunkIndex(source.section(section, bytes), frames, key);
}

function provesIndex(bytes: Buffer, footer: Footer): boolean {
  const tableBytes = footer.frames * TABLE_ENTRY_BYTES;
  return (
    hash('sha256', bytes.subarray(0, tableBytes), 'buffer').equals(footer.tableSha256) &&
    hash('sha256', bytes.subarray(tableBytes), 'buffer').equals(footer.tailSha256)
  );
}

function assertIndex(bytes: Buffer, footer: Footer, key: string): void {
  if (!provesIndex(bytes, footer)) throw damaged(key, 'its frame table or chunk index fails its hash');
}

function headOf(bytes: Buffer, footer: Footer, key: string): Fields {
  assertSha256(bytes, footer.headSha256, key, 'header');
  return decodeHead(bytes, 'manifest', key);
}
