import type { Compressor } from '@keyframe/contracts';
import { compressPayload, type Payload } from '../format/container-layout.ts';
import type { PackedContent, PackedExtent, PackedFile } from '../format/pack-content.ts';
import type { Failure } from './failure.ts';

/** Bundle: frames of small files. Data: frames of one big file each. */
export type FrameRole = 'bundle' | 'data';

/** A file that is being written. */
export interface WrittenFile extends PackedFile {
  readonly ordinal: number;
}

/** A range of a file in a frame. */
export type WrittenExtent = PackedExtent<WrittenFile>;

/** What a range of a file holds. */
export type WrittenContent = PackedContent<WrittenFile>;

/** A full buffer on its way into a pack. */
export interface FrameJob {
  readonly role: FrameRole;
  readonly buffer: Buffer;
  readonly plainBytes: number;
  readonly extents: readonly WrittenExtent[];
  /** What is to be told of the content. Undefined: another backup has the frame, and it is not stored. */
  prepare(plain: Uint8Array): readonly WrittenContent[] | undefined | Promise<readonly WrittenContent[] | undefined>;
}

/** A frame that is compressed. */
export interface ReadyFrame {
  readonly payload: Payload;
  readonly contents: readonly WrittenContent[];
}

interface Pending {
  /** A frame, or what is to be done when all frames before it are placed. */
  readonly job: FrameJob | (() => Promise<void>);
  result: Promise<ReadyFrame | undefined> | undefined;
}

export interface FramePipelineOptions {
  readonly compressor: Compressor;
  /** Compressions at once. As many frames again may wait. */
  readonly inFlight: number;
  readonly frameBytes: number;
  readonly failure: Failure;
  /** Stores a compressed frame; called in the order of submission, one at a time. */
  place(job: FrameJob, frame: ReadyFrame): Promise<void>;
}

/** Compresses frames side by side in the thread pool and hands them on in order. Owns their buffers. */
export class FramePipeline {
  readonly #options: FramePipelineOptions;
  readonly #free: Buffer[] = [];
  readonly #pending: Pending[] = [];
  #running = 0;
  #drained: Promise<void> = Promise.resolve();
  #waiters: (() => void)[] = [];
  readonly #wakeAll = (): void => this.#wake();

  constructor(options: FramePipelineOptions) {
    this.#options = options;
    // A fault must wake whoever waits for room.
    options.failure.signal.addEventListener('abort', this.#wakeAll);
  }

  /** An empty buffer of one frame. Whoever takes one submits it or gives it back. */
  buffer(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#options.frameBytes);
  }

  /** Room for so many bytes, to be given back: that of a frame where it will do, since garbage of this size lies about long. */
  room(sizeBytes: number): Buffer {
    return sizeBytes <= this.#options.frameBytes ? this.buffer() : Buffer.allocUnsafeSlow(sizeBytes);
  }

  /** Takes a buffer back that was not submitted. */
  giveBack(buffer: Buffer): void {
    if (buffer.length === this.#options.frameBytes && this.#free.length < this.#limit) this.#free.push(buffer);
  }

  /** Takes a frame; its buffer is the pipeline's from now on. */
  submit(job: FrameJob): void {
    this.#enqueue({ job, result: undefined });
  }

  /** Does something when all frames submitted so far are placed, and before the next one is. */
  step(run: () => Promise<void>): void {
    this.#enqueue({ job: run, result: undefined });
  }

  /** Undefined when there is room; else settles when there is, or rejects with the first fault. */
  pressure(): Promise<void> | undefined {
    return this.#pending.length <= this.#limit ? undefined : this.#room();
  }

  /** Settles when every submitted frame is placed; none is submitted afterwards. */
  async drained(): Promise<void> {
    await this.#drained;
    this.#options.failure.check();
    this.#release();
  }

  /** Settles, whatever happened, when nothing runs any more. */
  async settled(): Promise<void> {
    await this.#drained;
    await Promise.allSettled(this.#pending.flatMap(({ result }) => (result === undefined ? [] : [result])));
    this.#release();
  }

  /** A signal made of others that has a listener is never collected, and all that the listener knows with it. */
  #release(): void {
    this.#options.failure.signal.removeEventListener('abort', this.#wakeAll);
  }

  get #limit(): number {
    return this.#options.inFlight * 2;
  }

  async #room(): Promise<void> {
    while (this.#pending.length > this.#limit && !this.#options.failure.signal.aborted)
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    this.#options.failure.check();
  }

  #enqueue(pending: Pending): void {
    this.#options.failure.check();
    this.#pending.push(pending);
    this.#startMore();
    if (this.#pending.length === 1) this.#drained = this.#options.failure.watch(this.#drain());
  }

  async #drain(): Promise<void> {
    for (let head = this.#pending[0]; head !== undefined; head = this.#pending[0]) {
      this.#options.failure.check();
      const { job } = head;
      if (typeof job === 'function') await job();
      else {
        const frame = await (head.result ?? this.#start(head, job));
        if (frame !== undefined) await this.#options.place(job, frame);
        this.giveBack(job.buffer);
      }
      this.#pending.shift();
      this.#startMore();
      this.#wake();
    }
  }

  #startMore(): void {
    for (const pending of this.#pending) {
      if (this.#running >= this.#options.inFlight || this.#options.failure.signal.aborted) return;
      if (pending.result === undefined && typeof pending.job !== 'function') void this.#start(pending, pending.job);
    }
  }

  #start(pending: Pending, job: FrameJob): Promise<ReadyFrame | undefined> {
    this.#running += 1;
    const result = this.#ready(job);
    pending.result = result;
    void this.#options.failure.watch(
      result.finally(() => {
        this.#running -= 1;
        this.#startMore();
      }),
    );
    return result;
  }

  async #ready(job: FrameJob): Promise<ReadyFrame | undefined> {
    const plain = job.buffer.subarray(0, job.plainBytes);
    const contents = await job.prepare(plain);
    if (contents === undefined) return undefined;
    return { payload: await compressPayload(this.#options.compressor, plain), contents };
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
