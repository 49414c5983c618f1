/**
 * Fetches the WAL files that recovery will ask for next while PostgreSQL replays: it asks for one after the other and waits for
 * each, so that without this every segment costs a process and the latency of the store.
 * @packageDocumentation
 */
import {
  type Abortable,
  isKeyframeError,
  KeyframeError,
  parseWalFileName,
  segmentName,
  segmentNumberOf,
  type TimelineId,
} from '@keyframe/contracts';
import { segmentTimelines } from '@keyframe/postgres';
import type { EpochArchive } from '@keyframe/repository';
import { pause } from '../pause.ts';
import { claimFetchSpool, type FetchSpool } from './fetch-spool.ts';
import { type FetchContext, fetchWal } from './fetch-wal.ts';
import { readHistories } from './histories.ts';
import type { SpoolOptions } from './spool-run.ts';

/** What is fetched, and for whom. */
export interface FetchAheadOptions extends Abortable, SpoolOptions {
  /** The segment that was asked for: fetching begins with the next one. */
  readonly after: string;
  /** The last segment that the recovery needs. Absent, as for a standby: what the archive holds of that timeline. */
  readonly last?: string | undefined;
}

/** Files under way at a time: hides 50 ms of latency at several times the speed of replay. */
const CONCURRENCY = 4;
/** What may wait. */
const MAX_FILES = 32;
const MAX_BYTES = 512 << 20;
/** Of the free space, what may wait takes at most one part in so many: replay needs space, too. */
const SHARE_OF_FREE = 4;
const LOOK_EVERY_MS = 100;
/** How often it is checked that the server still recovers. */
const CHECK_EVERY_MS = 500;
/** A paused recovery asks for nothing. What waits stays and is used when it goes on; this process need not. */
const IDLE_MS = 600_000;

/**
 * Fetches until nothing is left to fetch and nothing waits any more, the recovery is over, the server has ended, or nothing was
 * asked for in ten minutes. What it cannot fetch it leaves to the command that PostgreSQL waits for, which says why.
 * @returns how many files it fetched
 * @throws {KeyframeError} INVALID_OPTION for names that are no segments; UNAVAILABLE, ACCESS_DENIED, CORRUPT before it begins
 */
export async function fetchAhead(
  context: FetchContext,
  dataDirectory: string,
  options: FetchAheadOptions,
): Promise<number> {
  const spool = await claimFetchSpool(dataDirectory, options);
  if (spool === undefined) return 0;
  const ended = new AbortController();
  const signal = options.signal === undefined ? ended.signal : AbortSignal.any([options.signal, ended.signal]);
  const filler = new Filler(context, spool, signal);
  const filling = filler.fill(options).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  // What was fetched waits for PostgreSQL; the process stays to clear up behind a recovery that needs less.
  await Promise.all([filling, watch(spool, filler, signal).finally(() => ended.abort())]);
  return filler.fetched;
}

/** The segment that PostgreSQL will ask for next, when the archive has it and the recovery needs it. */
export async function nextSegment(
  { archive }: FetchContext,
  { after, last, signal }: Pick<FetchAheadOptions, 'after' | 'last' | 'signal'>,
): Promise<string | undefined> {
  if (parseWalFileName(after)?.kind !== 'segment') return undefined;
  const header = await archive.wal.header(after, { signal });
  if (header?.segmentSizeBytes === undefined) return undefined;
  const names = following(archive, { after, last, signal }, header.segmentSizeBytes);
  const { value } = await names.next();
  await names.return(undefined);
  return value !== undefined && (await archive.wal.has(value, { signal })) ? value : undefined;
}

class Filler {
  fetched = 0;
  /** Nothing more will be fetched. */
  isDone = false;
  readonly #context: FetchContext;
  readonly #spool: FetchSpool;
  readonly #signal: AbortSignal;
  readonly #underWay = new Set<string>();
  #ended = false;

  constructor(context: FetchContext, spool: FetchSpool, signal: AbortSignal) {
    this.#context = context;
    this.#spool = spool;
    this.#signal = signal;
  }

  async fill(options: FetchAheadOptions): Promise<void> {
    try {
      await this.#fillFrom(options);
    } finally {
      this.isDone = true;
    }
  }

  async #fillFrom(options: FetchAheadOptions): Promise<void> {
    const signal = this.#signal;
    const header = await this.#context.archive.wal.header(options.after, { signal });
    if (header?.segmentSizeBytes === undefined) return;
    const names = following(this.#context.archive, { ...options, signal }, header.segmentSizeBytes);
    const work = async (): Promise<void> => {
      for await (const name of names) {
        while (!this.#ended && !(await this.#takesRoom(name, header.sizeBytes))) await pause(LOOK_EVERY_MS, signal);
        if (this.#ended) return;
        await this.#fetch(name);
        this.#underWay.delete(name);
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, work));
  }

  /** Counts `name` as under way when it fits. What ends while this looks is counted, in one place or the other. */
  async #takesRoom(name: string, sizeBytes: number): Promise<boolean> {
    const room = Math.min(MAX_FILES, Math.floor(MAX_BYTES / sizeBytes));
    const before = [...this.#underWay];
    const freeBytes = await this.#spool.freeBytes();
    const there = await this.#spool.waiting();
    const files = new Set([...before, ...there, ...this.#underWay]).size;
    const fits = files < room && (this.#underWay.size + 1) * sizeBytes < freeBytes / SHARE_OF_FREE;
    if (fits) this.#underWay.add(name);
    return fits;
  }

  /** The first that is absent or fails ends it: the command that PostgreSQL waits for meets the same and tells it. */
  async #fetch(name: string): Promise<void> {
    if (await this.#spool.isPast(name)) return;
    try {
      await this.#spool.announce(name);
      const request = { name, destination: this.#spool.pathOf(name) };
      const outcome = await fetchWal(this.#context, request, { signal: this.#signal });
      if (outcome === 'fetched') this.fetched += 1;
      else this.#ended = true;
    } catch (error) {
      this.#ended = true;
      if (!isKeyframeError(error)) throw error;
    } finally {
      await this.#spool.settle(name);
    }
  }
}

/** Ends when nobody needs this process any more. */
async function watch(spool: FetchSpool, filler: Filler, signal: AbortSignal): Promise<void> {
  let before = '';
  let since = performance.now();
  let checked = -Infinity;
  for (;;) {
    const isDue = performance.now() - checked >= CHECK_EVERY_MS;
    if (isDue) checked = performance.now();
    if (signal.aborted || (isDue && !(await spool.isWanted()))) return spool.clear();
    const waiting = (await spool.waiting()).join(' ');
    if (waiting !== before) since = performance.now();
    before = waiting;
    if (filler.isDone && waiting === '') return spool.clear();
    if (performance.now() - since > IDLE_MS) return;
    await pause(LOOK_EVERY_MS, signal).catch(() => undefined);
  }
}

/** The names that PostgreSQL will ask for, in its order: a segment with a fork by the newest timeline that has it. */
async function* following(
  archive: EpochArchive,
  { after, last, signal }: Pick<FetchAheadOptions, 'after' | 'last' | 'signal'>,
  segmentSizeBytes: number,
): AsyncGenerator<string> {
  const begin = placeOf(after, segmentSizeBytes);
  const end = last === undefined ? undefined : placeOf(last, segmentSizeBytes);
  const history =
    end === undefined || end.timeline === begin.timeline
      ? undefined
      : (await readHistories(archive, { histories: [end.timeline] }, { signal }, end.timeline)).get(end.timeline);
  for (let number = begin.number + 1n; number <= (end?.number ?? number); number += 1n) {
    const timelines = history === undefined ? [] : segmentTimelines(history, number, segmentSizeBytes);
    yield segmentName(timelines[0] ?? begin.timeline, number, segmentSizeBytes);
  }
}

function placeOf(name: string, segmentSizeBytes: number): { readonly timeline: TimelineId; readonly number: bigint } {
  const file = parseWalFileName(name);
  if (file?.kind === 'segment') return { timeline: file.timeline, number: segmentNumberOf(file, segmentSizeBytes) };
  throw new KeyframeError('INVALID_OPTION', `${JSON.stringify(name)} is not the name of a WAL segment`, {
    hint: 'Use restore_command as `keyframe restore` writes it.',
  });
}
