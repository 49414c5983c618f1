/**
 * Archives the WAL file PostgreSQL asks for and then, while the process is up, those it will ask for next.
 *
 * The steady state needs this: a process start costs more than archiving a segment. What went ahead is marked in the spool,
 * from which the shell wrapper answers.
 * @packageDocumentation
 */
import { dirname, join } from 'node:path';
import { type Abortable, isKeyframeError } from '@keyframe/contracts';
import type { EpochArchive, WalObjectHeader } from '@keyframe/repository';
import { pause } from '../pause.ts';
import { type PushContext, type PushReport, pushWal } from './push-wal.ts';
import { ReadyFiles } from './ready-files.ts';
import { openSpool, type Spool } from './spool.ts';
import type { SpoolOptions } from './spool-run.ts';

/** How much goes ahead, and how long. */
export interface AheadOptions extends Abortable, SpoolOptions {
  /** Most files that are durable and not asked for yet. */
  readonly maxAhead: number;
  /** How long to wait for more, in milliseconds, once nothing is left to do. Default 0. */
  readonly lingerMs?: number | undefined;
  /** Called once the file that was asked for is durable, before anything else is pushed. */
  readonly onArchived?: ((report: PushReport) => void) | undefined;
}

/** What became of the file that was asked for, and how many others are durable now too. */
export interface AheadReport extends PushReport {
  readonly ahead: number;
}

/** Files on their way at a time, to hide the latency of a store. Two keep two processors at work. */
const CONCURRENCY = 4;
/** How often it is looked for what PostgreSQL asks for, while nothing is under way. */
const LOOK_MS = 50;
/** How often it is checked that the server still runs and nobody took over. */
const CHECK_EVERY_MS = 500;
/** The wrapper may be about to say what it was told this long ago. */
const ANSWERED_MS = 1_000;

/**
 * {@link pushWal}, then the files that `archive_status` lists as ready, until nothing waits any more. Only the file asked for
 * decides about success: what fails ahead ends it, and is asked for again by PostgreSQL itself.
 * @throws {KeyframeError} as pushWal
 */
export async function pushAhead(given: PushContext, path: string, options: AheadOptions): Promise<AheadReport> {
  const { signal, maxAhead, onArchived } = options;
  const directory = dirname(path);
  const context = {
    ...given,
    archives: new Map<string, EpochArchive>(),
    timelines: new Map<string, WalObjectHeader>(),
  };
  const report = await pushWal(context, path, { signal });
  const spool = maxAhead === 0 ? undefined : await openSpool(dirname(directory), options);
  // Before the answer: what is asked for next then waits for this process and starts no other.
  const isOurs = await spool?.claim();
  onArchived?.(report);
  if (spool === undefined || isOurs !== true) return { ...report, ahead: 0 };
  const run = new PushRun(context, { directory, spool }, options);
  return { ...report, ahead: await run.push(report.file) };
}

/** One process at work on what is ready. */
class PushRun {
  readonly #context: PushContext;
  readonly #directory: string;
  readonly #spool: Spool;
  readonly #options: AheadOptions;
  readonly #ready: ReadyFiles;
  readonly #underWay = new Map<string, Promise<void>>();
  #pushed = 0;
  #failed = false;
  #fault: unknown;
  #checkedAt = performance.now();
  #activeAt = performance.now();

  constructor(
    context: PushContext,
    { directory, spool }: { readonly directory: string; readonly spool: Spool },
    options: AheadOptions,
  ) {
    this.#context = context;
    this.#directory = directory;
    this.#spool = spool;
    this.#options = options;
    this.#ready = new ReadyFiles(join(directory, 'archive_status'));
  }

  /** Pushes what is ready, without the file that is durable already. @returns how many files */
  async push(first: string): Promise<number> {
    const { lingerMs = 0, signal } = this.#options;
    this.#ready.settle(first, performance.now());
    try {
      while (await this.#goesOn()) {
        const name = this.#underWay.size < CONCURRENCY ? await this.#next() : undefined;
        if (name !== undefined) this.#start(name);
        else if (this.#underWay.size > 0) await Promise.race(this.#underWay.values());
        else if (performance.now() - this.#activeAt >= lingerMs) break;
        else await pause(LOOK_MS, signal).catch(() => undefined); // aborted: the loop ends
      }
    } finally {
      // Who waits for one of them finds the claim gone only when no marker will come any more.
      await Promise.all(this.#underWay.values());
      await this.#spool.release();
    }
    if (this.#fault instanceof Error) throw this.#fault;
    return this.#pushed;
  }

  async #goesOn(): Promise<boolean> {
    if (this.#failed || this.#options.signal?.aborted === true) return false;
    if (performance.now() - this.#checkedAt < CHECK_EVERY_MS) return true;
    this.#checkedAt = performance.now();
    return this.#spool.isWanted();
  }

  #start(name: string): void {
    const work = this.#pushOne(name).finally(() => this.#underWay.delete(name));
    this.#underWay.set(name, work);
  }

  async #pushOne(name: string): Promise<void> {
    const { signal } = this.#options;
    try {
      const { systemIdentifier } = await pushWal(this.#context, join(this.#directory, name), { signal });
      if (!(await this.#spool.mark(name, systemIdentifier))) this.#failed = true;
      this.#pushed += 1;
      this.#activeAt = performance.now();
      this.#ready.settle(name, this.#activeAt);
    } catch (error) {
      this.#failed = true;
      // A fault of the repository is told by the command that PostgreSQL waits for; this one can only be ours.
      if (!isKeyframeError(error) && !isAbort(error)) this.#fault = error;
    }
  }

  /** What PostgreSQL waits for, else the oldest that is ready; `undefined` when there is nothing, or enough is ahead. */
  async #next(): Promise<string | undefined> {
    const asked = await this.#asked();
    if (asked !== undefined) return asked;
    const { maxAhead } = this.#options;
    const isEnough = (): boolean => this.#spool.size + this.#underWay.size >= maxAhead;
    if (isEnough()) await this.#spool.refresh();
    if (isEnough()) return undefined;
    return this.#ready.next(this.#activeAt, (name) => this.#underWay.has(name) || this.#spool.has(name));
  }

  /** What the wrapper waits for and nobody is at work on: a history file that came later and goes first, say. */
  async #asked(): Promise<string | undefined> {
    const name = await this.#spool.asked();
    if (name === undefined || this.#underWay.has(name)) return undefined;
    this.#activeAt = performance.now();
    await this.#spool.refresh();
    // The wrapper may have taken its marker and not yet withdrawn the question.
    const isAnswered = this.#activeAt - this.#ready.settledAt(name) < ANSWERED_MS;
    return isAnswered || this.#spool.has(name) ? undefined : name;
  }
}

const isAbort = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError';
