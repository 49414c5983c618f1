/** A cluster's history in memory, step by step, with what must stay true after each step. @packageDocumentation */
import { hash } from 'node:crypto';
import {
  type Compressor,
  hasCode,
  historyName,
  KeyframeError,
  type Lsn,
  lsn,
  segmentName,
  type Store,
} from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { childHistory, formatTimelineHistory, type TimelineHistory } from '@keyframe/postgres';
import {
  type BackupRecord,
  type BackupWriter,
  type EpochArchive,
  type LeaseHolder,
  openRepository,
  type Repository,
  type RestoreSink,
} from '@keyframe/repository';
import { createMemoryStore } from '@keyframe/testkit';
import { applyExpiry, type ExpireContext, type ExpiryOutcome } from './apply-expiry.ts';
import { isRecoverable } from './expiry-truths.fixture.ts';
import type { RetentionPolicy } from './policy.ts';

export const HOUR_MS: number = 3_600_000;
export const DAY_MS: number = 24 * HOUR_MS;

const SEGMENT = 1 << 20;
const SYSTEM = '7400000000000000001';
const HOLDER: LeaseHolder = { host: 'db1', bootId: 'b', pid: 1, processStart: '1', command: 'keyframe backup' };
const GARDENER: LeaseHolder = { ...HOLDER, host: 'cron', command: 'keyframe expire' };
const COPY: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };
const FILES = ['base/1/100', 'base/1/200', 'base/1/300'];
const FILE_BYTES = 3000;

/** A commit that once happened. */
export interface PastMoment {
  readonly timeline: number;
  /** Number of the segment that holds it. */
  readonly segment: number;
  readonly lsn: bigint;
  readonly atMs: number;
}

/** A backup that was once published. */
export interface PastBackup {
  readonly record: BackupRecord;
  readonly digests: Readonly<Record<string, string>>;
  readonly stoppedMs: number;
}

interface Open {
  readonly writer: BackupWriter;
  readonly startSegment: number;
  readonly startedMs: number;
  readonly timeline: number;
  readonly contents: Readonly<Record<string, Buffer>>;
  readonly parent: string | undefined;
}

/** One cluster, its repository, its clock. */
export class World {
  readonly store: Store;
  readonly policy: RetentionPolicy;
  readonly moments: PastMoment[] = [];
  readonly backups: PastBackup[] = [];
  nowMs: number = Date.parse('2026-01-01T00:00:00Z');
  repository: Repository;
  archive: EpochArchive | undefined;
  history: TimelineHistory = { timeline: 1, ancestors: [] };
  readonly histories: TimelineHistory[] = [this.history];
  /** Next segment of each timeline. */
  readonly next: Map<number, number> = new Map([[1, 1]]);
  open: Open | undefined;
  #versions = [0, 0, 0];

  private constructor(policy: RetentionPolicy, wrap: (store: Store) => Store) {
    this.policy = policy;
    this.store = createMemoryStore({ now: () => new Date(this.nowMs) });
    this.repository = this.#openOn(wrap(this.store));
  }

  static async create(policy: RetentionPolicy, wrap: (store: Store) => Store = (store) => store): Promise<World> {
    const world = new World(policy, wrap);
    await world.repository.init();
    world.archive = await world.repository
      .cluster('main')
      .create({ systemIdentifier: SYSTEM, postgresVersion: 180_000 });
    await world.push(1);
    await world.backup('full');
    return world;
  }

  #openOn(store: Store): Repository {
    const tuning = {
      packBytes: 2500,
      bundlePackBytes: 2500,
      bundleLimitBytes: 500,
      manifestChunkBytes: 1000,
      resumableBytes: 1000,
    };
    return openRepository({ store, compressor: COPY, compressors: [], now: () => new Date(this.nowMs), tuning });
  }

  get epoch(): EpochArchive {
    if (this.archive === undefined) throw new Error('not created');
    return this.archive;
  }

  /** What an expiry of this cluster runs with; on another view of the store where one is given. */
  context(store: Store = this.store, more: Partial<ExpireContext> = {}): ExpireContext {
    const repository = this.#openOn(store);
    return {
      repository,
      history: repository.cluster('main'),
      clusterName: 'main',
      holder: GARDENER,
      stateOf: async () => 'unknown',
      now: () => new Date(this.nowMs),
      ...more,
    };
  }

  advance(ms: number): void {
    this.nowMs += ms;
  }

  /** The server fills segments, one commit in each, and archives them. */
  async push(segments: number): Promise<void> {
    const { timeline } = this.history;
    for (let each = 0; each < segments; each += 1) {
      const number = this.next.get(timeline) ?? 1;
      this.next.set(timeline, number + 1);
      this.nowMs += 60_000;
      this.moments.push({ timeline, segment: number, lsn: BigInt(number) * BigInt(SEGMENT) + 8192n, atMs: this.nowMs });
      // Only names, sizes and times of segments matter here, so they need not hold WAL.
      const name = segmentName(timeline, BigInt(number), SEGMENT);
      await this.store.put(
        `clusters/main/1/wal/${name.slice(0, 8)}/${name.slice(8, 16)}/${name}`,
        bytesOf(Buffer.alloc(8)),
      );
    }
  }

  /** A recovery to an earlier moment is adopted: a new timeline begins in that segment. */
  async fork(back: number): Promise<void> {
    const parent = this.history;
    const begin = Number(BigInt(parent.ancestors.at(-1)?.end ?? lsn(BigInt(SEGMENT))) / BigInt(SEGMENT));
    const newest = (this.next.get(parent.timeline) ?? 1) - 1;
    await this.look();
    const listed = new Set((await this.epoch.backups.list()).map(({ label }) => label));
    const live = this.backups.filter(({ record }) => listed.has(record.label));
    const { timeline: from } = parent;
    // Nobody recovers to what cannot be recovered.
    const at = Array.from({ length: newest - begin + 1 }, (_, each) => begin + each).find(
      (segment) =>
        segment >= newest - back &&
        isRecoverable(this, live, { timeline: from, segment, lsn: BigInt(segment) * BigInt(SEGMENT) + 4096n }, true),
    );
    if (at === undefined) return;
    const end = lsn(BigInt(at) * BigInt(SEGMENT) + 4096n);
    const timeline = this.histories.length + 1;
    this.history = childHistory(parent, { timeline, end, reason: 'test' });
    this.histories.push(this.history);
    this.next.set(timeline, at);
    const content = bytesOf(Buffer.from(formatTimelineHistory(this.history)));
    const facts = { systemIdentifier: SYSTEM, timeline, segmentSizeBytes: SEGMENT };
    await this.epoch.wal.put({ name: historyName(timeline), content, facts });
    await this.push(1);
  }

  async begin(type: 'full' | 'incremental'): Promise<void> {
    const { backups } = this.epoch;
    this.#versions = this.#versions.map((version, index) => (index === this.nowMs % 3 ? version + 1 : version));
    const contents = Object.fromEntries(
      FILES.map((path, index) => [path, contentOf(path, this.#versions[index] ?? 0)] as const),
    );
    const parent = type === 'full' ? undefined : (await backups.list()).at(-1);
    const intent = { type, method: 'stream' as const, holder: HOLDER, tool: 'test', parent: parent?.label };
    const base = parent === undefined ? undefined : await backups.base(parent);
    this.nowMs += 1000;
    const writer = await backups.begin(intent, { base });
    const { timeline } = this.history;
    const startSegment = (this.next.get(timeline) ?? 1) - 1;
    this.open = { writer, startSegment, startedMs: this.nowMs, timeline, contents, parent: parent?.label };
    for (const [path, content] of Object.entries(contents)) {
      const from = await base?.find(path);
      const sink = writer.file({ path, mode: 0o600, modifiedAtSeconds: 1, sizeBytes: content.length }, from);
      const known = this.backups.find(({ record }) => record.label === parent?.label)?.digests[path];
      if (from !== undefined && known === digest(content)) await sink.keep(content.length);
      else await sink.write(content);
      await sink.end();
    }
  }

  /** Ends the open backup: its WAL is archived, then it is published. `refused` when an expiry took it for dead. */
  async finish(): Promise<'published' | 'refused'> {
    const { open } = this;
    if (open === undefined) throw new Error('no backup is open');
    this.open = undefined;
    if (open.timeline !== this.history.timeline) {
      await open.writer.abandon(new Error('promoted'));
      return 'refused';
    }
    await this.push(1);
    const stopSegment = (this.next.get(open.timeline) ?? 1) - 1;
    const at = (segment: number): Lsn => lsn(BigInt(segment) * BigInt(SEGMENT) + 40n);
    const stoppedMs = this.nowMs;
    try {
      const prepared = await open.writer.finish({
        postgresVersion: 180_000,
        timeline: open.timeline,
        stopTimeline: open.timeline,
        startLsn: at(open.startSegment),
        stopLsn: at(stopSegment),
        startedAt: new Date(open.startedMs).toISOString(),
        stoppedAt: new Date(stoppedMs).toISOString(),
        walSegmentSizeBytes: SEGMENT,
        dataChecksums: true,
        tablespaces: [],
        backupLabel: '',
        serverManifest: Buffer.from('{}'),
      });
      // As the engine does: without its WAL it does not count.
      await this.look();
      if (!this.hasWal(open.timeline, open.startSegment, stopSegment))
        throw new KeyframeError('BACKUP_WAL_MISSING', 'its WAL is gone');
      const record = await open.writer.publish(prepared);
      const digests = Object.fromEntries(Object.entries(open.contents).map(([path, each]) => [path, digest(each)]));
      this.backups.push({ record, digests, stoppedMs });
      return 'published';
    } catch (error) {
      await open.writer.abandon(error);
      if (!hasCode(error, 'CONFLICT', 'CORRUPT', 'BACKUP_WAL_MISSING')) throw error;
      return 'refused';
    }
  }

  async backup(type: 'full' | 'incremental'): Promise<'published' | 'refused'> {
    await this.begin(type);
    return this.finish();
  }

  /** The process of the open backup is killed. */
  kill(): void {
    this.open = undefined;
  }

  expire(store: Store = this.store, more: Partial<ExpireContext> = {}): Promise<ExpiryOutcome> {
    return applyExpiry(this.context(store, more), this.policy);
  }

  readonly keys: Set<string> = new Set();

  /** Takes the names of all objects anew. */
  async look(): Promise<void> {
    this.keys.clear();
    for await (const { key } of this.store.list('')) this.keys.add(key);
  }

  hasWal(timeline: number, first: number, last: number): boolean {
    for (let number = first; number <= last; number += 1) {
      const name = segmentName(timeline, BigInt(number), SEGMENT);
      if (!this.keys.has(`clusters/main/1/wal/${name.slice(0, 8)}/${name.slice(8, 16)}/${name}`)) return false;
    }
    return true;
  }

  /** Reads a backup back; throws unless it is the one that was taken. */
  async restore({ record, digests }: PastBackup): Promise<void> {
    const sums = new Map<string, Buffer>();
    const sink: RestoreSink = {
      entry: ({ path, sizeBytes }) => void sums.set(path, Buffer.alloc(sizeBytes)),
      write: ({ path }, offset, data) => {
        sums.get(path)?.set(data, offset);
      },
      done: () => undefined,
    };
    // Small, since thousands are read.
    await this.epoch.backups.read(record, sink, { concurrency: 1, memoryBudgetBytes: 1 });
    for (const [path, expected] of Object.entries(digests))
      if (digest(sums.get(path) ?? Buffer.alloc(0)) !== expected)
        throw new Error(`${record.label} has another ${path}`);
  }
}

const digest = (bytes: Buffer): string => hash('sha256', bytes);

function contentOf(path: string, version: number): Buffer {
  let seed = hash('sha256', `${path} ${version}`, 'buffer');
  const pieces: Buffer[] = [];
  for (let size = 0; size < FILE_BYTES; size += seed.length) {
    pieces.push(seed);
    seed = hash('sha256', seed, 'buffer');
  }
  return Buffer.concat(pieces).subarray(0, FILE_BYTES);
}
