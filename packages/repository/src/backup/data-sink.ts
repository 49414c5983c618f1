import type { BaseMap, BasePiece } from './base-map.ts';
import type { FramePipeline, WrittenContent, WrittenExtent, WrittenFile } from './frame-pipeline.ts';
import { isZero, Meter, Ranges } from './meter.ts';
import { FileReferences, type ReferenceTarget } from './references.ts';
import type { Reuse } from './reuse.ts';
import { foundAt, rangesOf } from './stored-ranges.ts';
import type { FileSink, NewFile, StoredRange } from './writer.ts';

/** What big files are written to. */
export interface DataTarget {
  readonly pipeline: FramePipeline;
  readonly frameBytes: number;
  readonly reuse: Reuse;
  readonly references: ReferenceTarget;
}

/** Runs of a file that are no whole frame, one behind the other. */
interface Dense {
  readonly buffer: Buffer;
  used: number;
  readonly extents: WrittenExtent[];
}

/**
 * Cuts one big file into windows of a frame each. A window that is written whole becomes a frame, unless another backup has
 * it; of one that is kept in part the rest goes, densely, into frames of its own.
 */
export class DataSink implements FileSink {
  readonly #target: DataTarget;
  readonly #entry: NewFile;
  readonly #file: WrittenFile;
  readonly #base: BaseMap | undefined;
  readonly #meter: Meter;
  readonly #references: FileReferences;
  #earlier: Promise<readonly BaseMap[]> | undefined;
  /** Where the window begins. */
  #start = 0;
  #window: Buffer | undefined;
  readonly #written = new Ranges();
  /** Bytes that stand in the window's buffer, to be stored or not. */
  #known = 0;
  #kept: BasePiece[] = [];
  /** What could be kept and is stored anew all the same. */
  #spent: BasePiece[] = [];
  /** Where in the file trust is lost up to, and whether it is for this window. */
  #distrustedTo = 0;
  #isDistrusted = false;
  /** Whether the base has this window in too many pieces; undefined until that matters. */
  #isSplit: boolean | undefined;
  #dense: Dense | undefined;

  constructor(entry: NewFile, file: WrittenFile, base: BaseMap | undefined, target: DataTarget) {
    this.#entry = entry;
    this.#file = file;
    this.#base = base;
    this.#target = target;
    this.#meter = new Meter(entry);
    this.#references = new FileReferences(file.ordinal);
  }

  write(view: Uint8Array): void | Promise<void> {
    this.#meter.allow(view.length);
    for (let at = 0; at < view.length;) {
      const count = Math.min(view.length - at, this.#left);
      this.#put(at === 0 && count === view.length ? view : view.subarray(at, at + count), this.#position);
      at += count;
      this.#advance(count);
    }
    return this.#target.pipeline.pressure();
  }

  keep(sizeBytes: number, view?: Uint8Array): void | Promise<void> {
    this.#meter.allowKept(sizeBytes, view, this.#base);
    for (let at = 0; at < sizeBytes;) {
      const count = Math.min(sizeBytes - at, this.#left);
      const reading = this.#keep(count, view?.subarray(at, at + count), this.#base);
      at += count;
      if (reading !== undefined) return this.#keepRest(reading, count, sizeBytes - at, this.#base);
      this.#advance(count);
    }
    return this.#target.pipeline.pressure();
  }

  async stored(): Promise<readonly StoredRange[]> {
    const { reuse, frameBytes } = this.#target;
    this.#earlier ??= reuse.earlier(this.#entry);
    return rangesOf(await this.#earlier, { sizeBytes: this.#file.sizeBytes, windowBytes: frameBytes }, reuse);
  }

  take(range: StoredRange): void | Promise<void> {
    const { sizeBytes, pieces, hash } = foundAt(range, this.#start);
    this.#meter.allow(sizeBytes);
    this.#target.reuse.took(sizeBytes);
    this.#meter.done += sizeBytes;
    this.#references.add(pieces);
    this.#references.content(this.#start, sizeBytes, hash);
    this.#begin();
    return this.#target.pipeline.pressure();
  }

  distrust(sizeBytes: number): void {
    this.#distrustedTo = this.#meter.done + sizeBytes;
    this.#isDistrusted = true;
  }

  end(): void | Promise<void> {
    this.#meter.end();
    this.#flushDense();
    const { pipeline, references } = this.#target;
    if (this.#window !== undefined) pipeline.giveBack(this.#window);
    this.#window = undefined;
    pipeline.step(() => this.#references.emit('data', references));
    return pipeline.pressure();
  }

  /** Position in the window. */
  get #position(): number {
    return this.#meter.done - this.#start;
  }

  get #length(): number {
    return Math.min(this.#target.frameBytes, this.#file.sizeBytes - this.#start);
  }

  get #left(): number {
    return this.#length - this.#position;
  }

  #put(bytes: Uint8Array, at: number): void {
    this.#know(bytes, at);
    this.#written.add(at, at + bytes.length);
  }

  #know(bytes: Uint8Array, at: number): void {
    this.#buffer().set(bytes, at);
    this.#known += bytes.length;
  }

  #buffer(): Buffer {
    this.#window ??= this.#target.pipeline.buffer();
    return this.#window;
  }

  #advance(count: number): void {
    this.#meter.done += count;
    if (this.#left > 0) return;
    this.#close();
    this.#begin();
  }

  /** The next window. */
  #begin(): void {
    this.#start = this.#meter.done;
    this.#isDistrusted = this.#start < this.#distrustedTo;
    this.#written.clear();
    this.#known = 0;
    this.#kept = [];
    this.#spent = [];
    this.#isSplit = undefined;
  }

  /** Keeps a part of one window; a promise when bytes must be read for it. There is none with a view. */
  #keep(count: number, view: Uint8Array | undefined, base: BaseMap): Promise<void> | undefined {
    const { reuse } = this.#target;
    const start = this.#meter.done;
    this.#isSplit ??= reuse.isSplit(base.pieces(this.#start, this.#start + this.#length), this.#length);
    const pieces = base.pieces(start, start + count);
    const isSpent = ({ frame }: BasePiece): boolean =>
      frame !== undefined && (this.#isSplit === true || reuse.isWorn(frame));
    if (view === undefined && reuse.canRead === undefined && pieces.some(isSpent))
      return reuse.learnCanRead().then(() => this.#keep(count, view, base));
    const reads: Promise<void>[] = [];
    const isUnchanged = count === this.#length && base.hashOf(this.#start, count) !== undefined;
    for (const piece of pieces) {
      const { sizeBytes } = piece;
      const at = piece.fileOffset - this.#start;
      const from = piece.fileOffset - start;
      const part = view?.subarray(from, from + sizeBytes);
      // What can be neither seen nor read is referenced, worn as it is.
      if (!isSpent(piece) || (part === undefined && reuse.canRead !== true)) {
        reuse.assertNamable([piece]);
        this.#kept.push(piece);
        if (part !== undefined && !isUnchanged) this.#know(part, at);
      } else if (part !== undefined) {
        this.#put(part, at);
        this.#spent.push(piece);
      } else {
        reads.push(reuse.read(piece, this.#buffer().subarray(at, at + sizeBytes)));
        this.#written.add(at, at + sizeBytes);
        this.#known += sizeBytes;
        this.#spent.push(piece);
      }
    }
    return reads.length === 0 ? undefined : Promise.all(reads).then(() => undefined);
  }

  async #keepRest(reading: Promise<void>, count: number, rest: number, base: BaseMap): Promise<void> {
    await reading;
    this.#advance(count);
    for (let left = rest; left > 0;) {
      const next = Math.min(left, this.#left);
      await this.#keep(next, undefined, base);
      this.#advance(next);
      await this.#target.pipeline.pressure();
      left -= next;
    }
    await this.#target.pipeline.pressure();
  }

  #close(): void {
    this.#target.reuse.renew(this.#spent);
    if (this.#written.totalBytes === this.#length) {
      this.#closeWhole();
      return;
    }
    this.#references.add(this.#kept);
    const hash = this.#hash();
    if (hash !== undefined) this.#references.content(this.#start, this.#length, hash);
    for (const [from, to] of this.#written) this.#pack(this.#buffer().subarray(from, to), this.#start + from);
  }

  /** What a window holds that is kept in part or whole; undefined where bytes of it were not at hand. */
  #hash(): Uint8Array | undefined {
    const told = this.#written.totalBytes === 0 ? this.#base?.hashOf(this.#start, this.#length) : undefined;
    if (told !== undefined || this.#known < this.#length) return told;
    return this.#target.reuse.hash(this.#buffer().subarray(0, this.#length));
  }

  #closeWhole(): void {
    const buffer = this.#buffer();
    const [start, length] = [this.#start, this.#length];
    if (isZero(buffer.subarray(0, length))) {
      this.#references.zeros(start, length);
      return;
    }
    this.#window = undefined;
    const extent = { file: this.#file, fileOffset: start, sizeBytes: length, frameOffset: 0 };
    const given = { isCounted: this.#spent.length > 0, isDistrusted: this.#isDistrusted };
    const prepare = (plain: Uint8Array): Promise<readonly WrittenContent[] | undefined> =>
      this.#compare(start, plain, given);
    this.#target.pipeline.submit({ role: 'data', buffer, plainBytes: length, extents: [extent], prepare });
  }

  /** What is to be told of a new frame; undefined when another backup has its content, which is then referenced. */
  async #compare(
    fileOffset: number,
    plain: Uint8Array,
    { isCounted, isDistrusted }: { readonly isCounted: boolean; readonly isDistrusted: boolean },
  ): Promise<readonly WrittenContent[] | undefined> {
    const { reuse } = this.#target;
    const hash = reuse.hash(plain);
    this.#earlier ??= reuse.earlier(this.#entry);
    const pieces = reuse.match(await this.#earlier, fileOffset, plain.length, hash, isCounted);
    if (pieces === undefined)
      return isDistrusted ? NOTHING : [{ file: this.#file, fileOffset, sizeBytes: plain.length, hash }];
    this.#references.add(pieces);
    this.#references.content(fileOffset, plain.length, hash);
    return undefined;
  }

  /** Adds a run to the dense frame. */
  #pack(run: Buffer, fileOffset: number): void {
    if (isZero(run)) {
      this.#references.zeros(fileOffset, run.length);
      return;
    }
    for (let at = 0; at < run.length;) {
      this.#dense ??= { buffer: this.#target.pipeline.buffer(), used: 0, extents: [] };
      const { buffer, used, extents } = this.#dense;
      const count = Math.min(run.length - at, buffer.length - used);
      buffer.set(run.subarray(at, at + count), used);
      appendExtent(extents, { file: this.#file, fileOffset: fileOffset + at, sizeBytes: count, frameOffset: used });
      at += count;
      this.#dense.used += count;
      if (this.#dense.used === buffer.length) this.#flushDense();
    }
  }

  #flushDense(): void {
    if (this.#dense === undefined) return;
    const { buffer, used, extents } = this.#dense;
    this.#dense = undefined;
    this.#target.pipeline.submit({ role: 'data', buffer, plainBytes: used, extents, prepare: nothingToTell });
  }
}

const NOTHING: readonly WrittenContent[] = [];

/** Runs are compared with nothing: their borders are chance. */
function nothingToTell(): readonly WrittenContent[] {
  return NOTHING;
}

/** Adds an extent, or prolongs the last one. */
export function appendExtent(extents: WrittenExtent[], extent: WrittenExtent): void {
  const last = extents.at(-1);
  if (last?.file === extent.file && last.fileOffset + last.sizeBytes === extent.fileOffset)
    extents[extents.length - 1] = { ...last, sizeBytes: last.sizeBytes + extent.sizeBytes };
  else extents.push(extent);
}
