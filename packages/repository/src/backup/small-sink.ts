import type { BaseMap, BasePiece } from './base-map.ts';
import { appendExtent } from './data-sink.ts';
import type { FramePipeline, WrittenContent, WrittenExtent, WrittenFile } from './frame-pipeline.ts';
import { Meter, Ranges } from './meter.ts';
import { FileReferences, type ReferenceTarget } from './references.ts';
import type { Reuse } from './reuse.ts';
import { type FoundRange, foundAt, rangesOf } from './stored-ranges.ts';
import type { FileSink, NewFile, StoredRange } from './writer.ts';

/** Lets small files share frames, one behind the other. */
export class BundleFiller {
  readonly #pipeline: FramePipeline;
  #buffer: Buffer | undefined;
  #used = 0;
  #extents: WrittenExtent[] = [];
  #contents: WrittenContent[] = [];

  constructor(pipeline: FramePipeline) {
    this.#pipeline = pipeline;
  }

  /** Copies bytes of a file; what is told of the file goes with the frame in which they begin. */
  append(file: WrittenFile, bytes: Uint8Array, start: number, content?: WrittenContent): void {
    if (content !== undefined) this.#contents.push(content);
    for (let at = 0; at < bytes.length;) {
      this.#buffer ??= this.#pipeline.buffer();
      const count = Math.min(bytes.length - at, this.#buffer.length - this.#used);
      this.#buffer.set(bytes.subarray(at, at + count), this.#used);
      appendExtent(this.#extents, { file, fileOffset: start + at, sizeBytes: count, frameOffset: this.#used });
      at += count;
      this.#used += count;
      if (this.#used === this.#buffer.length) this.flush();
    }
  }

  /** Submits a frame that is not full. */
  flush(): void {
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    const contents = this.#contents;
    const job = { buffer, plainBytes: this.#used, extents: this.#extents, prepare: () => contents };
    this.#pipeline.submit({ role: 'bundle', ...job });
    this.#buffer = undefined;
    this.#used = 0;
    this.#extents = [];
    this.#contents = [];
  }
}

/** What small files are written to. */
export interface SmallTarget {
  readonly pipeline: FramePipeline;
  readonly bundle: BundleFiller;
  readonly reuse: Reuse;
  readonly references: ReferenceTarget;
}

/** Gathers one small file in memory, so that it can be compared whole. */
export class SmallSink implements FileSink {
  readonly #target: SmallTarget;
  readonly #entry: NewFile;
  readonly #file: WrittenFile;
  readonly #base: BaseMap | undefined;
  readonly #meter: Meter;
  /** Lent by the pipeline. */
  #room: Buffer | undefined;
  readonly #written = new Ranges();
  /** Ranges that are kept, of which the bytes are not known. */
  readonly #missing = new Ranges();
  #taken: FoundRange | undefined;
  #isDistrusted = false;

  constructor(entry: NewFile, file: WrittenFile, base: BaseMap | undefined, target: SmallTarget) {
    this.#entry = entry;
    this.#file = file;
    this.#base = base;
    this.#target = target;
    this.#meter = new Meter(entry);
  }

  write(view: Uint8Array): void | Promise<void> {
    this.#meter.allow(view.length);
    this.#written.add(this.#meter.done, this.#meter.done + view.length);
    this.#put(view);
    return this.#target.pipeline.pressure();
  }

  keep(sizeBytes: number, view?: Uint8Array): void {
    this.#meter.allowKept(sizeBytes, view, this.#base);
    if (view !== undefined) return this.#put(view);
    this.#missing.add(this.#meter.done, this.#meter.done + sizeBytes);
    this.#meter.done += sizeBytes;
  }

  async stored(): Promise<readonly StoredRange[]> {
    const { reuse } = this.#target;
    const { sizeBytes } = this.#file;
    return sizeBytes === 0
      ? []
      : rangesOf(await reuse.earlier(this.#entry), { sizeBytes, windowBytes: sizeBytes }, reuse);
  }

  take(range: StoredRange): void | Promise<void> {
    this.#taken = foundAt(range, this.#meter.done);
    this.#meter.allow(range.sizeBytes);
    this.#target.reuse.took(range.sizeBytes);
    this.#meter.done += range.sizeBytes;
    return this.#target.pipeline.pressure();
  }

  distrust(): void {
    this.#isDistrusted = true;
  }

  end(): void | Promise<void> {
    this.#meter.end();
    if (this.#file.sizeBytes > 0) return this.#settle();
  }

  #put(view: Uint8Array): void {
    this.#buffer().set(view, this.#meter.done);
    this.#meter.done += view.length;
  }

  #buffer(): Buffer {
    this.#room ??= this.#target.pipeline.room(this.#file.sizeBytes);
    return this.#room.subarray(0, this.#file.sizeBytes);
  }

  async #settle(): Promise<void> {
    const { pipeline } = this.#target;
    const { sizeBytes } = this.#file;
    const base = this.#written.totalBytes < sizeBytes ? this.#base : undefined;
    if (this.#taken !== undefined) this.#refer(this.#taken.pieces, this.#taken.hash);
    else if (base === undefined) await this.#compare();
    else if (this.#isWorthKeeping(base) || !(await this.#canComplete())) this.#keepParts(base);
    else {
      for (const [from, to] of this.#missing) await this.#fill(base, from, to);
      this.#target.reuse.renew(this.#keptOf(base));
      this.#store(this.#target.reuse.hash(this.#buffer()));
    }
    if (this.#room !== undefined) pipeline.giveBack(this.#room);
    this.#room = undefined;
    await pipeline.pressure();
  }

  /** Everything was written: it may still be what another backup has. */
  async #compare(): Promise<void> {
    const { reuse } = this.#target;
    const hash = reuse.hash(this.#buffer());
    const pieces = reuse.match(await reuse.earlier(this.#entry), 0, this.#file.sizeBytes, hash);
    if (pieces === undefined) this.#store(hash);
    else this.#refer(pieces, hash);
  }

  /** Whether all bytes are at hand, or can be read. */
  async #canComplete(): Promise<boolean> {
    return this.#missing.totalBytes === 0 || (await this.#target.reuse.learnCanRead());
  }

  #isWorthKeeping(base: BaseMap): boolean {
    const sizeBytes = Math.min(base.sizeBytes, this.#file.sizeBytes);
    return this.#target.reuse.isSound(base.pieces(0, sizeBytes), 0, sizeBytes);
  }

  #keepParts(base: BaseMap): void {
    const { bundle } = this.#target;
    const { sizeBytes } = this.#file;
    const pieces = this.#keptOf(base);
    this.#target.reuse.assertNamable(pieces);
    for (const [from, to] of this.#written) bundle.append(this.#file, this.#buffer().subarray(from, to), from);
    const isUnchanged = this.#written.totalBytes === 0 && base.sizeBytes === sizeBytes;
    this.#refer(pieces, isUnchanged ? base.hashOf(0, sizeBytes) : this.#hashIfKnown());
  }

  /** Where the base has what was not written. */
  #keptOf(base: BaseMap): BasePiece[] {
    const pieces: BasePiece[] = [];
    let at = 0;
    for (const [from, to] of this.#written) {
      pieces.push(...base.pieces(at, from));
      at = to;
    }
    return [...pieces, ...base.pieces(at, this.#file.sizeBytes)];
  }

  #hashIfKnown(): Buffer | undefined {
    return this.#missing.totalBytes === 0 ? this.#target.reuse.hash(this.#buffer()) : undefined;
  }

  async #fill(base: BaseMap, from: number, to: number): Promise<void> {
    for (const piece of base.pieces(from, to)) {
      const { fileOffset, sizeBytes } = piece;
      await this.#target.reuse.read(piece, this.#buffer().subarray(fileOffset, fileOffset + sizeBytes));
    }
  }

  #store(hash: Buffer): void {
    const content = { file: this.#file, fileOffset: 0, sizeBytes: this.#file.sizeBytes, hash };
    this.#target.bundle.append(this.#file, this.#buffer(), 0, this.#isDistrusted ? undefined : content);
  }

  #refer(pieces: readonly BasePiece[], hash: Uint8Array | undefined): void {
    const { pipeline, references } = this.#target;
    const gathered = new FileReferences(this.#file.ordinal);
    gathered.add(pieces);
    if (hash !== undefined) gathered.content(0, this.#file.sizeBytes, hash);
    pipeline.step(() => gathered.emit('bundle', references));
  }
}
