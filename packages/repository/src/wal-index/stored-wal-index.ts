import { type Abortable, formatLsn, hasCode, KeyframeError, type TimelineId } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { encryptionOf } from '../encryption/object-encryption.ts';
import type { ObjectCipher } from '../encryption/object-cipher.ts';
import type { EpochContext } from '../epoch-context.ts';
import { assertSha256, decodeHead, decodeStart, START_BYTES } from '../format/container.ts';
import { compressPayload, ContainerLayout, encodeFrame } from '../format/container-layout.ts';
import { decodeFooter, decodeTable, FOOTER_BYTES, type TableEntry } from '../format/container-tail.ts';
import { damaged } from '../objects/damage.ts';
import { createOnly } from '../objects/put-once.ts';
import { readSmall } from '../objects/read-range.ts';
import { withCopies } from '../objects/with-copies.ts';
import {
  decodeBlocks,
  decodeDetails,
  decodeState,
  decodeSummary,
  type DecodedSummary,
  encodeIndex,
} from './index-codec.ts';
import { assertIndexed, indexKey, parseIndexKey } from './index-place.ts';
import type {
  OpenedWalIndex,
  SegmentSummary,
  WalIndex,
  WalIndexCache,
  WalIndexContent,
  WalIndexRef,
  WalIndexState,
} from './wal-index.ts';
import type { ChangedBlocks, SegmentIndex } from '@keyframe/wal';

/** Keys in one request: what S3 takes at once. */
const BATCH = 1000;

/** The index of one epoch, as containers below `index/`. */
export class StoredWalIndex implements WalIndex {
  readonly #context: EpochContext;

  constructor(context: EpochContext) {
    this.#context = context;
  }

  async list({ signal }: Abortable = {}): Promise<WalIndexRef[]> {
    const refs: WalIndexRef[] = [];
    const { store, prefix } = this.#context;
    for await (const { key, sizeBytes } of store.list(`${prefix}index/`, { signal })) {
      const place = parseIndexKey(key.slice(prefix.length));
      if (place !== undefined) refs.push({ key, sizeBytes, ...place });
    }
    return refs.toSorted(
      (a, b) => a.timeline - b.timeline || Number(a.startLsn - b.startLsn) || Number(b.endLsn - a.endLsn),
    );
  }

  async open(
    ref: WalIndexRef,
    { signal, cache }: Abortable & { readonly cache?: WalIndexCache | undefined } = {},
  ): Promise<OpenedWalIndex | undefined> {
    const near = await cache?.get(ref);
    if (near !== undefined) {
      const opened = await this.#opened(Buffer.from(near.buffer, near.byteOffset, near.length), ref, signal).catch(
        (error: unknown) => {
          // A damaged copy is none.
          if (!hasCode(error, 'CORRUPT')) throw error;
        },
      );
      if (opened !== undefined) return opened;
    }
    try {
      return await withCopies(this.#context.store, ref.key, async (copy) => {
        const bytes = await readSmall(copy, ref.key, signal);
        const opened = await this.#opened(bytes, ref, signal);
        await cache?.set(ref, bytes);
        return opened;
      });
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) return undefined;
      throw error;
    }
  }

  async add(content: WalIndexContent, { signal }: Abortable = {}): Promise<WalIndexRef> {
    const [first, last] = [content.segments[0], content.segments.at(-1)];
    if (first === undefined || last === undefined)
      throw new KeyframeError('INVALID_OPTION', 'an index of no segment cannot be stored');
    const place = { timeline: content.timeline, startLsn: first.startLsn, endLsn: last.endLsn };
    const { store, prefix, repositoryId, cluster, epoch, compressor, keyring } = this.#context;
    const key = prefix + indexKey(place);
    const encryption = (await keyring.writing({ signal }))?.data(key);
    const layout = new ContainerLayout('index', {
      repository: repositoryId,
      cluster,
      epoch: epoch.number,
      timeline: place.timeline,
      startLsn: formatLsn(place.startLsn),
      endLsn: formatLsn(place.endLsn),
      encryption: encryption?.header,
    });
    const parts: Buffer[] = [layout.head];
    for (const plain of encodeIndex(content)) {
      const payload = await compressPayload(compressor, plain);
      const number = layout.entries.length;
      const frame = encodeFrame({ number, plainBytes: plain.length, payload, cipher: encryption?.frames });
      layout.add(frame, plain.length);
      parts.push(frame);
    }
    const { table, footer } = layout.end();
    const bytes = Buffer.concat([...parts, table, footer]);
    // Whoever was quicker told the same of the same segments.
    await createOnly(store, key, bytesOf(bytes), signal);
    return { key, sizeBytes: bytes.length, ...place };
  }

  async remove(refs: readonly WalIndexRef[], { signal }: Abortable = {}): Promise<void> {
    const keys = refs.map(({ key }) => key);
    for (let start = 0; start < keys.length; start += BATCH)
      await this.#context.store.delete(keys.slice(start, start + BATCH), { signal });
  }

  /** Proves every byte, and decodes the summary. */
  async #opened(bytes: Buffer, ref: WalIndexRef, signal: AbortSignal | undefined): Promise<OpenedIndex> {
    const { key, startLsn, endLsn } = ref;
    const footer = decodeFooter(bytes.subarray(Math.max(0, bytes.length - FOOTER_BYTES)), bytes.length, key);
    const headBytes = START_BYTES + decodeStart(bytes.subarray(0, START_BYTES), 'index', key);
    const head = bytes.subarray(0, headBytes);
    assertSha256(head, footer.headSha256, key, 'header');
    const fields = decodeHead(head, 'index', key);
    assertIndexed(this.#context, fields, key);
    const { keyring } = this.#context;
    const table = bytes.subarray(footer.tableOffset, footer.tailOffset);
    assertSha256(table, footer.tableSha256, key, 'frame table');
    const entries = decodeTable(table, headBytes, footer.tableOffset, key);
    // All of them now: a copy of which one frame is wrong must neither serve nor be kept nearby.
    for (const [number, { offset, storedBytes, sha256 }] of entries.entries())
      assertSha256(bytes.subarray(offset, offset + storedBytes), sha256, key, `frame ${number}`);
    const encryption = encryptionOf(fields);
    if (encryption === undefined && !(await keyring.allowsPlain()))
      throw damaged(key, 'it is not encrypted, and the repository is from its beginning');
    if (encryption !== undefined && encryption.sealed === undefined) throw damaged(key, 'its header has no data key');
    const cipher = encryption?.sealed && (await keyring.data(encryption.sealed, key, { signal }));
    const frames = new Frames(this.#context, { bytes, entries, cipher, key });
    const summary = decodeSummary(await frames.read(0), key);
    if (summary.segments[0]?.summary.startLsn !== startLsn || summary.segments.at(-1)?.summary.endLsn !== endLsn)
      throw damaged(key, 'it is of other segments than its name says');
    return new OpenedIndex(frames, summary, key);
  }
}

/** The bytes of an object, and what its frames must be. */
interface ObjectBytes {
  readonly bytes: Buffer;
  readonly entries: readonly TableEntry[];
  readonly cipher: ObjectCipher | undefined;
  readonly key: string;
}

class Frames {
  readonly #context: EpochContext;
  readonly #object: ObjectBytes;

  constructor(context: EpochContext, object: ObjectBytes) {
    this.#context = context;
    this.#object = object;
  }

  get count(): number {
    return this.#object.entries.length;
  }

  plainBytes(number: number): number {
    return this.#object.entries[number]?.plainBytes ?? 0;
  }

  async read(number: number): Promise<Uint8Array> {
    const { bytes, entries, cipher, key } = this.#object;
    const entry = entries[number];
    if (entry === undefined) throw damaged(key, `it has no frame ${number}`);
    const stored = bytes.subarray(entry.offset, entry.offset + entry.storedBytes);
    return this.#context.codecs.open(stored, { number, plainBytes: entry.plainBytes, cipher }, key);
  }
}

class OpenedIndex implements OpenedWalIndex {
  readonly #frames: Frames;
  readonly #summary: DecodedSummary;
  readonly #key: string;

  constructor(frames: Frames, summary: DecodedSummary, key: string) {
    this.#frames = frames;
    this.#summary = summary;
    this.#key = key;
  }

  get timeline(): TimelineId {
    return this.#summary.timeline;
  }

  get segmentSizeBytes(): number {
    return this.#summary.segmentSizeBytes;
  }

  get segments(): readonly SegmentSummary[] {
    return this.#summary.segments.map(({ summary }) => summary);
  }

  async details(wants: (summary: SegmentSummary) => boolean = () => true): Promise<SegmentIndex[]> {
    const { segments, relations, detailFrames } = this.#summary;
    const found: SegmentIndex[] = [];
    let [frame, at] = [0, 0];
    let content: Uint8Array | undefined;
    let length = this.#frameBytes(frame);
    for (const { summary, detailBytes } of segments) {
      while (at >= length && frame + 1 < detailFrames) {
        frame += 1;
        at = 0;
        content = undefined;
        length = this.#frameBytes(frame);
      }
      if (wants(summary)) {
        content ??= await this.#frames.read(1 + frame);
        found.push(decodeDetails(content.subarray(at, at + detailBytes), summary, relations, this.#key));
      }
      at += detailBytes;
    }
    return found;
  }

  async blocks(): Promise<ChangedBlocks[]> {
    const { detailFrames, relations } = this.#summary;
    return decodeBlocks(await this.#frames.read(1 + detailFrames), relations, this.#key);
  }

  async state(): Promise<WalIndexState | undefined> {
    const number = this.#summary.detailFrames + 2;
    return number < this.#frames.count ? decodeState(await this.#frames.read(number), this.#key) : undefined;
  }

  #frameBytes(frame: number): number {
    return this.#frames.plainBytes(1 + frame);
  }
}
