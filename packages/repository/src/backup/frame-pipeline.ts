import type { Compressor } from '@keyframe/contracts';
import { compressPayload, type Payload } from '../format/container-layout.ts';
import type { ExtentRecord } from '../format/extents.ts';
import type { Failure } from './failure.ts';

/** Bundle: frames of small files. Data: frames of one big file each. */
export type FrameRole = 'bundle' | 'data';

/** A full buffer on its way into a pack. */
export interface FrameJob {
  readonly role: FrameRole;
  readonly buffer: Buffer;
  readonly plainBytes: number;
  readonly extents: readonly ExtentRecord[];
}

interface Pending {
  readonly job: FrameJob;
  result: Promise<Payload> | undefined;
}

export interface FramePipelineOptions {
  readonly compressor: Compressor;
  /** Compressions at once. As many frames again may wait. */
  readonly inFlight: number;
  readonly frameBytes: number;
  readonly failure: Failure;
  /** Stores a compressed frame; called in the order of submission, one at a time. */
  place(job: FrameJob, payload: Payload): Promise<void>;
}

/** Compresses frames side by side in the thread pool and hands them on in order. Owns their buffers. */
export class FramePipeline {
  readonly #options: FramePipelineOptions;
  readonly #free: Buffer[] = [];
  readonly #pending: Pending[] = [];
  #running = 0;
  #drained: Promise<void> = Promise.resolve();
  #waiters: (() => void)[] = [];

  constructor(options: FramePipelineOptions) {
    this.#options = options;
    // A fault must wake whoever waits for room.
    options.failure.signal.addEventListener('abort', () => this.#wake(), { once: true });
  }

  /** An empty buffer of one frame. Whoever takes one submits it or gives it back. */
  buffer(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#options.frameBytes);
  }

  /** Takes a buffer back that was not submitted. */
  giveBack(buffer: Buffer): void {
    if (this.#free.length < this.#limit) this.#free.push(buffer);
  }

  /** Takes a frame; its buffer is the pipeline's from now on. */
  submit(job: FrameJob): void {
    this.#options.failure.check();
    this.#pending.push({ job, result: undefined });
    this.#startMore();
    if (this.#pending.length === 1) this.#drained = this.#options.failure.watch(this.#drain());
  }

  /** Undefined when there is room; else settles when there is, or rejects with the first fault. */
  pressure(): Promise<void> | undefined {
    return this.#pending.length <= this.#limit ? undefined : this.#room();
  }

  /** Settles when every submitted frame is placed. */
  async drained(): Promise<void> {
    await this.#drained;
    this.#options.failure.check();
  }

  /** Settles, whatever happened, when nothing runs any more. */
  async settled(): Promise<void> {
    await this.#drained;
    await Promise.allSettled(this.#pending.flatMap(({ result }) => (result === undefined ? [] : [result])));
  }

  get #limit(): number {
    return this.#options.inFlight * 2;
  }

  async #room(): Promise<void> {
    while (this.#pending.length > this.#limit && !this.#options.failure.signal.aborted)
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    this.#options.failure.check();
  }

  async #drain(): Promise<void> {
    for (let head = this.#pending[0]; head !== undefined; head = this.#pending[0]) {
      this.#options.failure.check();
      const payload = await (head.result ?? this.#start(head));
      await this.#options.place(head.job, payload);
      this.#pending.shift();
      this.giveBack(head.job.buffer);
      this.#startMore();
      this.#wake();
    }
  }

  #startMore(): void {
    for (const pending of this.#pending) {
      if (this.#running >= this.#options.inFlight || this.#options.failure.signal.aborted) return;
      if (pending.result === undefined) void this.#start(pending);
    }
  }

  #start(pending: Pending): Promise<Payload> {
    const { job } = pending;
    this.#running += 1;
    const result = compressPayload(this.#options.compressor, job.buffer.subarray(0, job.plainBytes));
    pending.result = result;
    void this.#options.failure.watch(
      result.finally(() => {
        this.#running -= 1;
        this.#startMore();
      }),
    );
    return result;
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
