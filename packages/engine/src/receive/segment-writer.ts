/**
 * Brings WAL into the repository as it comes: parts of the segment that is being written, and every segment whole.
 *
 * One part is put at a time, and it takes all that waits; what comes meanwhile is for the next one. So many commits share
 * one put, however slow the store is. Nothing is reported as durable before the store has it, in its write quorum.
 * @packageDocumentation
 */
import { formatLsn, hasCode, KeyframeError, type Lsn, lsn, segmentNameAt, type TimelineId } from '@keyframe/contracts';
import type { WalArchive, WalPart } from '@keyframe/repository';
import { readSegmentHeader } from '@keyframe/wal';
import { pause } from '../pause.ts';
import type { OnReceive } from './receive-event.ts';
import { type SegmentMemory, type SegmentPool, sha256Of } from './segment-memory.ts';

/** How WAL is written. */
export interface WriterOptions {
  readonly wal: WalArchive;
  readonly systemIdentifier: string;
  readonly segmentSizeBytes: number;
  readonly pool: SegmentPool;
  /** A part is put when its first byte has waited so long; 0: at once. */
  readonly flushIntervalMs: number;
  /** A part is put when so many bytes wait. */
  readonly flushBytes: number;
  /** Told whenever more is durable. */
  readonly onDurable: (durable: Lsn) => void;
  readonly onEvent: OnReceive;
  /** What cannot be put right by trying again. */
  readonly onFault: (error: unknown) => void;
  /** Aborts everything under way. */
  readonly signal: AbortSignal;
}

interface OpenSegment {
  readonly name: string;
  readonly timeline: TimelineId;
  readonly start: bigint;
  readonly memory: SegmentMemory;
  filled: number;
  /** Bytes from the beginning that are durable as parts. */
  stored: number;
  /** Bytes from the beginning that are durable or on their way as a part. */
  sent: number;
  isWhole: boolean;
  /** Its memory was given back; it counts until all before it is durable. */
  isFree: boolean;
  /** Its timeline ended in it: no more comes. */
  isEnded: boolean;
  /** Names of parts made of these very bytes. */
  readonly parts: Set<string>;
}

/** What waits at the end of a full segment goes as a part too, if it is no more than this: the whole takes longer. */
const TAIL_BYTES = 1 << 20;
const RETRY_MS = 1000;
const HEADER_BYTES = 64;

/** Takes WAL in order. */
export class SegmentWriter {
  readonly #options: WriterOptions;
  /** Oldest first; the last one is being filled. */
  readonly #segments: OpenSegment[] = [];
  readonly #wholes = new Set<Promise<void>>();
  #durable: Lsn;
  #received: Lsn;
  readonly #timeline: TimelineId;
  #timer: NodeJS.Timeout | undefined;
  #putting: Promise<void> | undefined;
  /** Everything that is there is to be put, however little. */
  #hurry = false;
  #freed = Promise.withResolvers<void>();

  /** `start` is where a segment begins, `durable` up to where the repository is known to hold what comes. */
  constructor(
    options: WriterOptions,
    from: { readonly timeline: TimelineId; readonly start: Lsn; readonly durable: Lsn },
  ) {
    this.#options = options;
    this.#timeline = from.timeline;
    this.#received = from.start;
    this.#durable = from.durable;
  }

  get durable(): Lsn {
    return this.#durable;
  }

  get received(): Lsn {
    return this.#received;
  }

  /** All that came is durable. */
  get isIdle(): boolean {
    return this.#durable >= this.#received;
  }

  /** Takes the next bytes. A promise means "wait": too much is on its way. */
  write(view: Uint8Array): void | Promise<void> {
    let rest = view;
    while (rest.length > 0) {
      const segment = this.#open();
      if (segment === undefined) {
        const waiting = rest;
        return this.#freed.promise.then(() => this.write(waiting));
      }
      const piece = rest.subarray(0, this.#options.segmentSizeBytes - segment.filled);
      rest = rest.subarray(piece.length);
      const written = segment.memory.write(piece, segment.filled);
      if (written !== undefined) {
        const left = rest;
        return written.then(() => {
          this.#took(segment, piece.length);
          return this.write(left);
        });
      }
      this.#took(segment, piece.length);
    }
    return undefined;
  }

  #open(): OpenSegment | undefined {
    const last = this.#segments.at(-1);
    if (last !== undefined && !last.isEnded && last.filled < this.#options.segmentSizeBytes) return last;
    const memory = this.#options.pool.take();
    if (memory === undefined) {
      this.#freed = Promise.withResolvers();
      return undefined;
    }
    const { segmentSizeBytes } = this.#options;
    const start = this.#received;
    const known = Math.max(0, Math.min(segmentSizeBytes, Number(this.#durable - start)));
    const segment: OpenSegment = {
      name: segmentNameAt(this.#timeline, start, segmentSizeBytes),
      timeline: this.#timeline,
      start,
      memory,
      filled: 0,
      stored: known,
      sent: known,
      isWhole: false,
      isFree: false,
      isEnded: false,
      parts: new Set(),
    };
    this.#segments.push(segment);
    return segment;
  }

  #took(segment: OpenSegment, count: number): void {
    segment.filled += count;
    this.#received = lsn(segment.start + BigInt(segment.filled));
    if (segment.filled === this.#options.segmentSizeBytes) this.#putWhole(segment);
    this.#schedule();
  }

  /** Puts what waits as soon as it may. */
  #schedule(): void {
    if (this.#putting !== undefined || this.#options.signal.aborted) return;
    const next = this.#nextPart();
    if (next === undefined) return;
    const { flushIntervalMs, flushBytes } = this.#options;
    if (this.#hurry || flushIntervalMs === 0 || next.filled - next.sent >= flushBytes || next.isEnded)
      return this.#putNext(next);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const due = this.#nextPart();
      if (due !== undefined && this.#putting === undefined) this.#putNext(due);
    }, flushIntervalMs);
  }

  /** The oldest segment with bytes that only a part can make durable soon. */
  #nextPart(): OpenSegment | undefined {
    const { segmentSizeBytes, flushIntervalMs } = this.#options;
    return this.#segments.find(({ filled, sent, isWhole }) => {
      const waiting = filled - sent;
      if (isWhole || waiting <= 0) return false;
      return filled < segmentSizeBytes || (flushIntervalMs === 0 && waiting <= TAIL_BYTES);
    });
  }

  #putNext(segment: OpenSegment): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#putting = this.#putPart(segment)
      .catch((error: unknown) => this.#options.onFault(error))
      .finally(() => {
        this.#putting = undefined;
        if (this.#nextPart() === undefined) this.#hurry = false;
        this.#schedule();
      });
  }

  async #putPart(segment: OpenSegment): Promise<void> {
    const { wal, signal } = this.#options;
    const [start, end] = [segment.sent, segment.filled];
    segment.sent = end;
    const part: WalPart = {
      segment: segment.name,
      start,
      content: segment.memory.source(start, end),
      facts: this.#facts(segment),
    };
    segment.parts.add(await this.#patiently(() => wal.putPart(part, { signal })));
    segment.stored = Math.max(segment.stored, end);
    this.#advance();
  }

  #putWhole(segment: OpenSegment): void {
    const work = this.#archive(segment)
      .catch((error: unknown) => this.#options.onFault(error))
      .finally(() => this.#wholes.delete(work));
    this.#wholes.add(work);
  }

  async #archive(segment: OpenSegment): Promise<void> {
    const { wal, segmentSizeBytes, onEvent, signal } = this.#options;
    const { name, memory } = segment;
    const content = memory.source(0, segmentSizeBytes);
    await this.#assertOurs(segment);
    const outcome = await this.#patiently(() => wal.put({ name, content, facts: this.#facts(segment) }, { signal }));
    segment.isWhole = true;
    this.#advance();
    onEvent({ kind: 'segment', name, outcome });
    try {
      // A part of it may be on its way still.
      await this.#putting;
      const other = await wal.removeParts(
        name,
        { known: segment.parts, sha256: (start, end) => sha256Of(memory.source(start, end)) },
        { signal },
      );
      if (other.length > 0)
        onEvent({ kind: 'warning', message: `parts with other bytes are left: ${other.join(', ')}` });
    } catch (error) {
      signal.throwIfAborted();
      // They are of no use and do no harm; `expire` takes them with their segment.
      onEvent({ kind: 'warning', message: `parts of ${name} stay: ${error instanceof Error ? error.message : ''}` });
    }
    await this.#free(segment);
  }

  async #assertOurs({ name, start, memory }: OpenSegment): Promise<void> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of memory.source(0, HEADER_BYTES).open()) chunks.push(chunk);
    const { systemIdentifier, pageAddress } = readSegmentHeader(Buffer.concat(chunks));
    if (systemIdentifier === this.#options.systemIdentifier && pageAddress === start) return;
    throw new KeyframeError(
      'WAL_INVALID',
      `the server sent a segment ${name} that begins at ${formatLsn(pageAddress)}`,
      {
        hint: 'Run `keyframe doctor`; connect to PostgreSQL itself, not through a proxy.',
        details: { systemIdentifier },
      },
    );
  }

  #facts({ timeline }: OpenSegment): WalPart['facts'] {
    const { systemIdentifier, segmentSizeBytes } = this.#options;
    return { systemIdentifier, timeline, segmentSizeBytes };
  }

  /** The store may be away for as long as it likes: nothing is lost, commits and the slot wait. */
  async #patiently<T>(call: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    for (;;) {
      try {
        return await call();
      } catch (error) {
        if (!hasCode(error, 'UNAVAILABLE')) throw error;
        const seconds = Math.round((performance.now() - begun) / 1000);
        this.#options.onEvent({ kind: 'store-waits', message: error.message, seconds });
        await pause(RETRY_MS, this.#options.signal);
      }
    }
  }

  #advance(): void {
    let durable = this.#durable;
    for (const { start, stored, isWhole } of this.#segments) {
      if (start > durable) break;
      const end = start + BigInt(isWhole ? this.#options.segmentSizeBytes : stored);
      if (end > durable) durable = lsn(end);
    }
    if (durable === this.#durable) return;
    this.#durable = durable;
    this.#prune();
    this.#options.onDurable(durable);
    this.#options.onEvent({ kind: 'durable', lsn: durable, receivedLsn: this.#received });
  }

  async #free(segment: OpenSegment): Promise<void> {
    segment.isFree = true;
    this.#advance();
    this.#prune();
    await segment.memory.free();
    this.#freed.resolve();
  }

  /** Segments become whole in any order; one counts until everything before it does too. */
  #prune(): void {
    const size = BigInt(this.#options.segmentSizeBytes);
    for (let at = this.#segments.length - 1; at >= 0; at -= 1) {
      const segment = this.#segments[at];
      if (segment?.isFree === true && segment.start + size <= this.#durable) this.#segments.splice(at, 1);
    }
  }

  /** Puts what is there without waiting for more. */
  hurry(): void {
    this.#hurry = this.#nextPart() !== undefined;
    this.#schedule();
  }

  async #drain(): Promise<void> {
    for (;;) {
      this.hurry();
      if (this.#putting !== undefined) await this.#putting;
      else if (this.#wholes.size > 0) await Promise.race(this.#wholes);
      else if (this.#nextPart() === undefined || this.#options.signal.aborted) return;
    }
  }

  /** No more comes; resolves when all that came is durable. */
  async finish(): Promise<void> {
    for (const segment of this.#segments) segment.isEnded = true;
    await this.#drain();
  }

  /** Gives everything back. What is under way must have been aborted. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#putting;
    await Promise.all(this.#wholes);
    for (const segment of this.#segments.splice(0)) if (!segment.isFree) await segment.memory.free();
  }
}
