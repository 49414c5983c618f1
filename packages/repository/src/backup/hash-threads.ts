import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { HashAnswer, HashedRanges } from './hash-thread.ts';

/** More would mostly wait for the disk, and take 10 MB each. */
const MOST_THREADS = 4;
/** One batch is worked on and one waits, so that no thread waits for the main one. */
const BATCHES_A_THREAD = 2;
/** The heap of a thread holds little but its code: its buffer is not part of that. */
const LIMITS = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 } as const;

/** From source this module and the thread's have `.ts`; a build puts the thread's beside its other modules. */
const THREAD = new URL(import.meta.url.endsWith('.ts') ? './hash-thread.ts' : './hash-thread.mjs', import.meta.url);

/** Threads that read and hash files: the pool of node:crypto would be handed a copy of every byte. */
export class HashThreads {
  /** How many batches are taken at once. */
  readonly atOnce: number;
  readonly #threads: readonly Thread[];

  private constructor(threads: readonly Thread[]) {
    this.#threads = threads;
    this.atOnce = threads.length * BATCHES_A_THREAD;
  }

  /** One for each core; undefined where none comes up. */
  static async start(contentKey: Uint8Array): Promise<HashThreads | undefined> {
    const count = Math.min(availableParallelism(), MOST_THREADS);
    const started = await Promise.allSettled(Array.from({ length: count }, () => Thread.start(contentKey)));
    const threads = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    return threads.length === 0 ? undefined : new HashThreads(threads);
  }

  /** For each range of each file, in order, whether it holds what it should. Rejects with the fault of a file. */
  compare(files: readonly HashedRanges[]): Promise<Uint8Array> {
    const [first, ...others] = this.#threads;
    if (first === undefined) return Promise.reject(new Error('no thread'));
    return others.reduce((least, each) => (each.waiting < least.waiting ? each : least), first).compare(files);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}

interface Question {
  readonly resolve: (held: Uint8Array) => void;
  readonly reject: (reason: unknown) => void;
}

class Thread {
  readonly #worker: Worker;
  /** A thread answers in order; its first message answers nothing but that it is there. */
  readonly #questions: Question[] = [];
  #ended: Error | undefined;

  private constructor(contentKey: Uint8Array, ready: Question) {
    this.#questions.push(ready);
    const worker = new Worker(THREAD, { workerData: { contentKey }, resourceLimits: LIMITS });
    worker.on('message', (answer: HashAnswer) => {
      const question = this.#questions.shift();
      if ('held' in answer) question?.resolve(answer.held);
      else question?.reject(Object.assign(answer.fault as Error, answer.fields));
    });
    worker.on('error', (error) => this.#end(error));
    worker.on('exit', () => this.#end(new Error('a thread that hashes has ended')));
    this.#worker = worker;
  }

  static async start(contentKey: Uint8Array): Promise<Thread> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const thread = new Thread(contentKey, { resolve, reject });
    await promise;
    return thread;
  }

  get waiting(): number {
    return this.#questions.length;
  }

  compare(files: readonly HashedRanges[]): Promise<Uint8Array> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    this.#questions.push({ resolve, reject });
    this.#worker.postMessage(files);
    return promise;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #end(reason: Error): void {
    this.#ended ??= reason;
    for (const { reject } of this.#questions.splice(0)) reject(reason);
  }
}
