import { PackCiphers } from '../encryption/pack-ciphers.ts';
import type { EpochContext } from '../epoch-context.ts';
import type { ChunkLine } from '../format/chunk-index.ts';
import { assertSha256 } from '../format/container.ts';
import type { ExtentRecord, ExtentsChunk, FrameRecord } from '../format/extents.ts';
import { damaged } from '../objects/damage.ts';
import { letGo } from '../objects/let-go.ts';
import { readInto } from '../objects/read-range.ts';
import { Slots } from '../objects/slots.ts';
import { readProven, withCopies } from '../objects/with-copies.ts';
import { Failure } from './failure.ts';
import { findHeld, type HeldContent } from './held-content.ts';
import type { ManifestEntry } from './manifest.ts';
import { isZero } from './meter.ts';
import type { ReadOptions, ReadReport, RestoreSink } from './restore-sink.ts';
import type { StoredManifest } from './stored-manifest.ts';
import { planWindows, type RestoreTask, type Window } from './windows.ts';

const DEFAULT_CONCURRENCY = 4;
const DEFAULT_BUDGET_BYTES = 64 << 20;
const WINDOW_BYTES = { least: 1 << 20, most: 4 << 20 } as const;
/** Files that stay and are ended at once. */
const KEEPS = 8;
const ZERO_PIECE_BYTES = 256 << 10;

/** Reads one backup into a sink. */
export class Restore {
  readonly #context: EpochContext;
  readonly #manifest: StoredManifest;
  readonly #sink: RestoreSink;
  readonly #options: ReadOptions;
  readonly #failure: Failure;
  readonly #slots: Slots;
  readonly #ciphers: PackCiphers;
  readonly #files: ManifestEntry[] = [];
  /** Bytes of each file that are still to come, by ordinal; undefined for what is not wanted. */
  readonly #missing: (number | undefined)[] = [];
  /** The same, less what is being written: known before a byte of an extent reaches the sink. */
  readonly #unclaimed: number[] = [];
  readonly #report = { files: 0, plainBytes: 0, keptBytes: 0, storedBytes: 0, requests: 0 };

  constructor(context: EpochContext, manifest: StoredManifest, sink: RestoreSink, options: ReadOptions) {
    this.#context = context;
    this.#manifest = manifest;
    this.#sink = sink;
    this.#options = options;
    this.#failure = new Failure(options.signal);
    this.#ciphers = new PackCiphers(context.keyring);
    this.#slots = new Slots(context.tuning.framesInFlight * 2);
  }

  async run(): Promise<ReadReport> {
    await this.#announce();
    const { concurrency = DEFAULT_CONCURRENCY, memoryBudgetBytes = DEFAULT_BUDGET_BYTES } = this.#options;
    const share = Math.floor(memoryBudgetBytes / (concurrency * 2));
    const windowBytes = Math.min(Math.max(share, WINDOW_BYTES.least), WINDOW_BYTES.most);
    const isWanted = (extent: ExtentRecord): boolean => this.#isWanted(extent);
    const holds = ({ first, last }: ChunkLine): boolean =>
      this.#options.only === undefined || this.#missing.slice(first, last + 1).some((left) => left !== undefined);
    const chunks = (): AsyncGenerator<ExtentsChunk> =>
      this.#manifest.extentChunks({ signal: this.#failure.signal }, holds);
    const held = await this.#keepHeld(chunks());
    const lacking = held === undefined ? chunks() : lackingIn(held, chunks());
    const tasks = planWindows(lacking, isWanted, windowBytes);
    const workers = Array.from({ length: concurrency }, () => this.#failure.watch(this.#work(tasks, windowBytes)));
    await Promise.all(workers);
    this.#failure.check();
    this.#assertComplete();
    return { ...this.#report, damage: this.#manifest.damage };
  }

  async #announce(): Promise<void> {
    const { only = () => true } = this.#options;
    for await (const entry of this.#manifest.entries({ signal: this.#failure.signal })) {
      this.#failure.check();
      await this.#sink.entry(entry);
      this.#files.push(entry);
      const wanted = entry.type === 'file' && only(entry);
      this.#missing.push(wanted ? entry.sizeBytes : undefined);
      this.#unclaimed.push(entry.sizeBytes);
    }
    await this.#sink.announced?.();
    for (const file of this.#files) if (this.#missing[file.ordinal] === 0) await this.#done(file);
  }

  /** Leaves what the target has already; undefined when the sink cannot tell. */
  async #keepHeld(chunks: AsyncIterable<ExtentsChunk>): Promise<HeldContent | undefined> {
    const read = this.#sink.read?.bind(this.#sink);
    if (read === undefined) return undefined;
    const { key } = this.#manifest.record.manifest;
    const { contentKey } = this.#manifest;
    const wanted = (ordinal: number): ManifestEntry | undefined =>
      this.#missing[ordinal] === undefined ? undefined : this.#files[ordinal];
    const path = this.#sink.path?.bind(this.#sink);
    const sizeBytes = this.#missing.reduce((sum: number, bytes) => sum + (bytes ?? 0), 0);
    const threaded = path !== undefined && sizeBytes >= this.#context.tuning.threadedBytes;
    const held = await findHeld({ contentKey, chunks, wanted, read, path, threaded, failure: this.#failure, key });
    const ranges = held.ranges();
    const keep = async (): Promise<void> => {
      for (const { ordinal, start, end } of ranges)
        await this.#kept({ ordinal, fileOffset: start, sizeBytes: end - start, frameOffset: 0 });
    };
    // Side by side: each file that is whole is synced.
    await Promise.all(Array.from({ length: KEEPS }, () => this.#failure.watch(keep())));
    this.#failure.check();
    return held;
  }

  async #kept(range: ExtentRecord): Promise<void> {
    const file = this.#claim(range);
    this.#report.keptBytes += range.sizeBytes;
    this.#sink.kept?.(file, range.fileOffset, range.sizeBytes);
    await this.#arrived(file, range.sizeBytes);
  }

  async #work(tasks: AsyncGenerator<RestoreTask>, windowBytes: number): Promise<void> {
    let arena: Buffer | undefined;
    for await (const task of tasks) {
      this.#failure.check();
      if ('zeros' in task) {
        for (const extent of task.zeros) await this.#zeros(extent);
        continue;
      }
      const size = task.window.end - task.window.start;
      if (arena === undefined || arena.length < size) arena = Buffer.allocUnsafeSlow(Math.max(size, windowBytes));
      await this.#window(task.window, arena.subarray(0, size));
    }
  }

  async #window(window: Window, bytes: Buffer): Promise<void> {
    const key = this.#manifest.packKey(window.pack);
    this.#report.requests += 1;
    this.#report.storedBytes += bytes.length;
    await withCopies(this.#context.store, key, (copy) =>
      readInto(copy, key, window.start, bytes, this.#failure.signal),
    );
    const frames: Promise<void>[] = [];
    for (const frame of window.frames) {
      await this.#slots.take();
      const start = frame.offset - window.start;
      const stored = bytes.subarray(start, start + frame.storedBytes);
      frames.push(this.#failure.watch(this.#frame(frame, stored, key).finally(() => this.#slots.give())));
      if (this.#failure.signal.aborted) break;
    }
    await Promise.all(frames); // the arena is used again only after the last view of it is
    this.#failure.check();
  }

  async #frame(frame: FrameRecord, stored: Buffer, key: string): Promise<void> {
    const proven = await this.#proven(frame, stored, key);
    const cipher = await this.#ciphers.of(this.#manifest.pack(frame.pack), this.#failure.signal);
    const expected = { number: frame.number, plainBytes: frame.plainBytes, cipher };
    const plain = await this.#context.codecs.open(proven, expected, key);
    for (const extent of frame.extents.filter((each) => this.#isWanted(each))) {
      const file = this.#claim(extent);
      const data = plain.subarray(extent.frameOffset, extent.frameOffset + extent.sizeBytes);
      await this.#sink.write(file, extent.fileOffset, data);
      await this.#arrived(file, extent.sizeBytes);
    }
    letGo(plain);
  }

  /** The bytes of a frame as they came, or from another copy of the pack where these are damaged. */
  async #proven(frame: FrameRecord, stored: Buffer, key: string): Promise<Buffer> {
    const verify = (bytes: Buffer): void => assertSha256(bytes, frame.sha256, key, `frame ${frame.number}`);
    try {
      verify(stored);
      return stored;
    } catch (error) {
      const { store } = this.#context;
      if (store.copies === undefined) throw error;
      const range = { start: frame.offset, end: frame.offset + frame.storedBytes };
      return readProven(store, key, range, { verify, signal: this.#failure.signal });
    }
  }

  async #zeros(extent: ExtentRecord): Promise<void> {
    if (this.#sink.read === undefined) return this.#writeZeros(extent);
    const buffer = Buffer.allocUnsafe(Math.min(ZERO_PIECE_BYTES, extent.sizeBytes));
    const end = extent.fileOffset + extent.sizeBytes;
    for (let fileOffset = extent.fileOffset; fileOffset < end; fileOffset += buffer.length) {
      const sizeBytes = Math.min(buffer.length, end - fileOffset);
      const piece = { ...extent, fileOffset, sizeBytes };
      const file = this.#files[extent.ordinal];
      const isThere = file !== undefined && (await this.#holdsZeros(file, fileOffset, buffer.subarray(0, sizeBytes)));
      await (isThere ? this.#kept(piece) : this.#writeZeros(piece));
    }
  }

  /** Whether the target has nothing but zeros there already. */
  async #holdsZeros(file: ManifestEntry, offsetBytes: number, into: Buffer): Promise<boolean> {
    return (await this.#sink.read?.(file, offsetBytes, into)) === true && isZero(into);
  }

  async #writeZeros(extent: ExtentRecord): Promise<void> {
    const file = this.#claim(extent);
    const { fileOffset, sizeBytes } = extent;
    if (this.#sink.zeros !== undefined) await this.#sink.zeros(file, fileOffset, sizeBytes);
    else
      for (let at = 0; at < sizeBytes; at += ZERO_PIECE_BYTES)
        await this.#sink.write(file, fileOffset + at, new Uint8Array(Math.min(ZERO_PIECE_BYTES, sizeBytes - at)));
    await this.#arrived(file, sizeBytes);
  }

  /** The file of an extent, which must lie inside it and bring no byte twice. */
  #claim({ ordinal, fileOffset, sizeBytes }: ExtentRecord): ManifestEntry {
    const { key } = this.#manifest.record.manifest;
    const file = this.#files[ordinal];
    if (file?.type !== 'file' || fileOffset < 0 || fileOffset + sizeBytes > file.sizeBytes)
      throw damaged(key, 'an extent lies outside its file');
    const unclaimed = (this.#unclaimed[ordinal] ?? 0) - sizeBytes;
    if (unclaimed < 0) throw damaged(key, `two extents hold the same bytes of ${file.path}`);
    this.#unclaimed[ordinal] = unclaimed;
    return file;
  }

  async #arrived(file: ManifestEntry, sizeBytes: number): Promise<void> {
    const left = (this.#missing[file.ordinal] ?? 0) - sizeBytes;
    this.#missing[file.ordinal] = left;
    if (left === 0) await this.#done(file);
  }

  async #done(file: ManifestEntry): Promise<void> {
    this.#report.files += 1;
    this.#report.plainBytes += file.sizeBytes;
    await this.#sink.done(file);
  }

  /** An extent of no known entry counts as wanted, so that it is found to be wrong. */
  #isWanted({ ordinal }: ExtentRecord): boolean {
    return this.#missing[ordinal] !== undefined || this.#files[ordinal] === undefined;
  }

  #assertComplete(): void {
    const short = this.#files.find(({ ordinal }) => (this.#missing[ordinal] ?? 0) > 0);
    if (short !== undefined)
      throw damaged(this.#manifest.record.manifest.key, `it does not say where all bytes of ${short.path} are`);
  }
}

async function* lackingIn(held: HeldContent, chunks: AsyncIterable<ExtentsChunk>): AsyncGenerator<ExtentsChunk> {
  for await (const chunk of chunks) yield held.lacking(chunk);
}
