import { formatLsn, hasCode, type KeyframeError, type Lsn, lsn, type TimelineId } from '@keyframe/contracts';
import {
  connectReplication,
  type ReplicationConnection,
  type TimelineHistory,
  type TimelineSwitch,
  type WalStream,
} from '@keyframe/postgres';
import type { EpochArchive, WalInventory } from '@keyframe/repository';
import { beyondForks, findStart, gapsBetween, mendStreamed, newestKnown, type StreamStart } from './find-start.ts';
import { oldestKept, openSlot } from './open-slot.ts';
import type { OnReceive } from './receive-event.ts';
import type { ReceiveContext, ReceiveRequest } from './receive-wal.ts';
import { segmentPool } from './segment-memory.ts';
import { SegmentWriter, type WriterOptions } from './segment-writer.ts';
import { appliesNothing } from './slot-watch.ts';
import { archiveHistories } from './timelines.ts';

/** The server gives up a receiver that is silent for wal_sender_timeout, a minute by default. */
const STATUS_MS = 2000;
const LAST_REPORT_MS = 2000;
const NO_LSN = lsn(0n);

/** What one connection works with. */
interface Source {
  readonly connection: ReplicationConnection;
  readonly archive: EpochArchive;
  readonly systemIdentifier: string;
  readonly history: TimelineHistory;
  readonly segmentSizeBytes: number;
}

/** One receiver over all its connections. */
export class Receiver {
  readonly #context: ReceiveContext;
  readonly #request: ReceiveRequest;
  readonly #tell: OnReceive;
  readonly #stop = Promise.withResolvers<void>();
  #isStopped = false;
  #reached = false;
  #until: Lsn | undefined;
  #stream: WalStream | undefined;
  #writer: SegmentWriter | undefined;
  #mayReport = false;
  readonly #told = new Set<TimelineId>();
  /** As far as this process knows. */
  #durable: Lsn | undefined;
  #timeline: TimelineId | undefined;

  constructor(context: ReceiveContext, request: ReceiveRequest, tell: OnReceive) {
    this.#context = context;
    this.#request = request;
    this.#tell = tell;
    this.#until = request.until === 'now' ? undefined : request.until;
  }

  get durable(): Lsn | undefined {
    return this.#durable;
  }

  get timeline(): TimelineId | undefined {
    return this.#timeline;
  }

  get reached(): boolean {
    return this.#reached;
  }

  get isOver(): boolean {
    return this.#isStopped || this.#reached;
  }

  /** Resolves when it is to end. */
  get stopped(): Promise<void> {
    return this.#stop.promise;
  }

  /** Ends the stream in order: what has come is stored, and the server is told. */
  stop(): void {
    this.#isStopped = true;
    this.#stop.resolve();
    this.#writer?.hurry();
    if (this.#writer?.isIdle !== false) this.#stream?.stop();
    // Commits that wait for what has come already are let go before the stream ends, if that does not take long.
    else setTimeout(() => this.#stream?.stop(), LAST_REPORT_MS).unref();
  }

  /** Connects and streams until the connection ends, or all of it does. */
  async run(signal: AbortSignal): Promise<void> {
    await using connection = await connectReplication(this.#context.target, { signal });
    let source = await this.#identify(connection, signal);
    let from = await this.#prepare(source, signal);
    for (;;) {
      const next = await this.#follow(source, from, signal);
      if (next === undefined || this.isOver) return;
      this.#tell({ kind: 'timeline', from: from.timeline, to: next.timeline, lsn: next.lsn });
      // A standby that was promoted meanwhile has a history that it had not before.
      source = await this.#identify(connection, signal);
      from = await findStart({ wal: source.archive.wal, ...source }, next.lsn, { signal });
    }
  }

  async #identify(connection: ReplicationConnection, signal: AbortSignal): Promise<Source> {
    const { systemIdentifier, timeline, lsn: now } = await connection.identifySystem({ signal });
    if (this.#request.synchronous && (await connection.show('synchronous_commit', { signal })) === 'remote_apply')
      throw appliesNothing();
    const { history: cluster } = this.#context;
    const archive = await cluster.find(systemIdentifier, { signal }).catch(async (error: unknown) => {
      if (!hasCode(error, 'NOT_FOUND')) throw error;
      return cluster.create({ systemIdentifier, postgresVersion: connection.versionNumber }, { signal });
    });
    const history = await archiveHistories(connection, archive, timeline, { signal });
    const segmentSizeBytes = parseSize(await connection.show('wal_segment_size', { signal }));
    if (this.#request.until === 'now') this.#until ??= now;
    return { connection, archive, systemIdentifier, history, segmentSizeBytes };
  }

  /** Makes the slot if there is none, and finds out where to begin. */
  async #prepare(source: Source, signal: AbortSignal): Promise<StreamStart> {
    const { connection, archive, history, segmentSizeBytes, systemIdentifier } = source;
    const { reserved, isNew } = await openSlot(this.#place(connection, signal));
    const inventory = await archive.wal.inventory({ signal, segmentSizeBytes });
    const known = newestKnown(history, inventory);
    this.#tellBranches(history, inventory);
    for (const name of await mendStreamed(archive.wal, inventory, systemIdentifier, { signal }))
      this.#tell({ kind: 'segment', name, outcome: 'archived' });
    const kept = reserved ?? known ?? (await connection.identifySystem({ signal })).lsn;
    // A slot that is new keeps nothing of what was before it; the server may have it all the same.
    const wanted = known !== undefined && (isNew || known < kept) ? known : kept;
    return findStart({ wal: archive.wal, history, segmentSizeBytes }, wanted, { signal });
  }

  /** What a receiver acknowledged on a primary that is gone may be more than the one that took over has. */
  #tellBranches(history: TimelineHistory, inventory: WalInventory): void {
    for (const { timeline, fork, reached } of beyondForks(history, inventory)) {
      if (this.#told.has(timeline)) continue;
      this.#told.add(timeline);
      this.#tell({
        kind: 'warning',
        message: `the repository holds timeline ${timeline} up to ${formatLsn(reached)}, and the server left it at ${formatLsn(fork)}: commits between are not on the server`,
        hint: `Look with \`keyframe plan --latest --timeline ${timeline}\`; restore it aside to bring over what is missing.`,
      });
    }
  }

  #place(connection: ReplicationConnection, signal: AbortSignal): Parameters<typeof openSlot>[0] {
    return { connection, target: this.#context.target, slot: this.#request.slot, tell: this.#tell, signal };
  }

  /** Streams one timeline to its end. `undefined` when it is not the timeline that ended. */
  async #follow(source: Source, from: StreamStart, signal: AbortSignal): Promise<TimelineSwitch | undefined> {
    try {
      return await this.#streamFrom(source, from, signal);
    } catch (error) {
      if (!hasCode(error, 'SERVER_ERROR')) throw error;
      if (isInvalidated(error)) return this.#dropSlot(source, error, signal);
      if (error.details['sqlstate'] !== '58P01') throw error;
      const next = await this.#skipGap(source, from, signal);
      if (next === undefined) throw error;
      return this.#streamFrom(source, next, signal);
    }
  }

  /** A slot that the server gave up keeps nothing any more: the next connection makes a new one. */
  async #dropSlot({ connection }: Source, error: KeyframeError, signal: AbortSignal): Promise<undefined> {
    const { slot } = this.#request;
    this.#tell({ kind: 'slot-lost', slot, message: error.message });
    await connection.dropSlot(slot, { signal });
  }

  /**
   * Where the server still has WAL. What it no longer has and the archive does not hold either is lost to recovery; what
   * follows is not.
   */
  async #skipGap(source: Source, from: StreamStart, signal: AbortSignal): Promise<StreamStart | undefined> {
    const { connection, archive, history, segmentSizeBytes } = source;
    const { wal } = archive;
    const place = this.#place(connection, signal);
    const oldest = await oldestKept(place, segmentSizeBytes);
    const reserved = oldest ?? (await openSlot(place)).reserved;
    if (reserved === undefined || reserved <= from.start) return undefined;
    const next = await findStart({ wal, history, segmentSizeBytes }, reserved, { signal });
    const inventory = await wal.inventory({ signal, segmentSizeBytes });
    for (const gap of gapsBetween(history, inventory, from.durable, next.start)) this.#tell({ kind: 'gap', ...gap });
    return next;
  }

  async #streamFrom(source: Source, from: StreamStart, signal: AbortSignal): Promise<TimelineSwitch | undefined> {
    const stop = new AbortController();
    const both = AbortSignal.any([signal, stop.signal]);
    const writer = this.#writerFor(source, from, { signal: both, onFault: (error) => stop.abort(error) });
    this.#writer = writer;
    const timer = setInterval(() => this.#report(), STATUS_MS);
    const { slot } = this.#request;
    try {
      const next = await source.connection.streamWal(
        { slot, start: from.start, timeline: from.timeline, signal: both },
        {
          begin: (stream) => this.#begin(stream, from),
          wal: (view) => {
            this.#mayReport = true;
            return writer.write(view);
          },
          keepalive: (_end, replyRequested) => {
            this.#mayReport = true;
            if (!replyRequested) return;
            // A server that shuts down waits until all is stored.
            writer.hurry();
            this.#report();
          },
        },
      );
      await writer.finish();
      both.throwIfAborted();
      return next;
    } catch (error) {
      // The connection is gone; what came by it is stored nevertheless.
      if (!both.aborted) await writer.finish();
      throw stop.signal.aborted ? stop.signal.reason : error;
    } finally {
      clearInterval(timer);
      this.#stream = undefined;
      this.#durable = writer.durable;
      stop.abort();
      await writer.close();
    }
  }

  #writerFor(
    { archive, systemIdentifier, segmentSizeBytes }: Source,
    from: StreamStart,
    { signal, onFault }: Pick<WriterOptions, 'signal' | 'onFault'>,
  ): SegmentWriter {
    const { synchronous, flushBytes, flushIntervalMs } = this.#request;
    const options: WriterOptions = {
      wal: archive.wal,
      systemIdentifier,
      segmentSizeBytes,
      pool: segmentPool(segmentSizeBytes, this.#context.temporaryDirectory),
      flushIntervalMs: synchronous ? 0 : flushIntervalMs,
      flushBytes,
      onDurable: () => this.#report(),
      onEvent: this.#tell,
      onFault,
      signal,
    };
    return new SegmentWriter(options, from);
  }

  #begin(stream: WalStream, { timeline, start, durable }: StreamStart): void {
    this.#stream = stream;
    // What is reported moves the slot. Before the first byte the server may still find that it has not got what is wanted.
    this.#mayReport = false;
    this.#timeline = timeline;
    this.#durable = durable;
    this.#tell({ kind: 'streaming', timeline, lsn: start, durable });
    this.#report();
    if (this.isOver) stream.stop();
  }

  #report(): void {
    const writer = this.#writer;
    if (writer === undefined) return;
    const { durable } = writer;
    this.#durable = durable;
    // Written is what another process could read: nothing that is in our memory alone.
    if (this.#mayReport) this.#stream?.report({ write: durable, flush: durable, apply: NO_LSN });
    if (this.#isStopped && writer.isIdle) this.#stream?.stop();
    if (this.#until === undefined || durable < this.#until || this.#reached) return;
    this.#reached = true;
    this.#stop.resolve();
    this.#stream?.stop();
  }
}

const UNITS: Readonly<Record<string, number>> = { MB: 1 << 20, GB: 1 << 30, kB: 1 << 10, B: 1 };

function parseSize(text: string): number {
  const [, number = '', unit = 'B'] = /^(\d+)(kB|MB|GB|B)?$/u.exec(text) ?? [];
  return Number(number) * (UNITS[unit] ?? 1);
}

/** @see src/backend/replication/slot.c: the texts differ from major to major, the state does not. */
function isInvalidated({ details }: KeyframeError): boolean {
  return details['sqlstate'] === '55000';
}
