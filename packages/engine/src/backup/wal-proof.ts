/** Reads the WAL between two backups, for what it says about files. @packageDocumentation */
import { formatLsn, hasCode, type Lsn, lsn, segmentName, type TimelineId } from '@keyframe/contracts';
import { segmentTimelines, timelineAt, type TimelineHistory } from '@keyframe/postgres';
import type { WalArchive } from '@keyframe/repository';
import { createWalScanner, type WalFact, type WalScanner, type WatchOptions } from '@keyframe/wal';
import { begun, scanSegment } from '../archive/scan-segment.ts';
import type { StageOptions } from '../events.ts';
import { scanPath } from '../recovery/scan-path.ts';
import { walPathFrom } from '../recovery/wal-path.ts';
import { RelationChanges } from './relation-changes.ts';

/** What is read. */
export interface ProofRequest {
  readonly wal: WalArchive;
  /** The history that the server is on. */
  readonly history: TimelineHistory;
  /** Start LSN of the backup to build on. */
  readonly from: Lsn;
  readonly segmentSizeBytes: number;
  /** Default: what records say about files. */
  readonly watch?: WatchOptions | undefined;
}

/** XLogLongPageHeaderData. */
const SEGMENT_HEADER_BYTES = 40n;

/** Takes each fact in the order of the WAL. */
type SeeFact = (fact: WalFact) => void;

/** One pass over the archived WAL, as far as it goes, and further when more of it has come. */
export class WalProof {
  readonly #request: ProofRequest;
  readonly #scanner: WalScanner;
  /** Running number of the segment to read next. */
  #next: bigint;
  #broken: string | undefined;

  constructor(request: ProofRequest) {
    const { segmentSizeBytes, history } = request;
    this.#request = request;
    this.#next = request.from / BigInt(segmentSizeBytes);
    this.#scanner = createWalScanner({
      segmentSizeBytes,
      watch: request.watch ?? { files: true },
      // What the archive gives is proven byte by byte; the links between records prove that nothing is left out.
      verifyAll: false,
      timelineOf: (position) => timelineAt(history, position),
    });
  }

  /** Why the WAL proves nothing: a segment is missing or damaged. */
  get broken(): string | undefined {
    return this.#broken;
  }

  /** Whether all WAL before that position was read. */
  hasRead(position: Lsn): boolean {
    const size = BigInt(this.#request.segmentSizeBytes);
    const read = this.#next * size;
    // A segment begins with a header: no record is in front of what begins right behind it.
    return this.#broken === undefined && (read >= position || position - read <= SEGMENT_HEADER_BYTES);
  }

  /** Whether that can become true before the segment is full that holds the position. */
  mayRead(position: Lsn): boolean {
    return this.#broken === undefined && position % BigInt(this.#request.segmentSizeBytes) <= SEGMENT_HEADER_BYTES;
  }

  /** Reads everything that the archive holds by now. */
  async readArchived(see: SeeFact, options: StageOptions): Promise<void> {
    const { wal, history, from, segmentSizeBytes } = this.#request;
    const whole = await wal.inventory({ ...options, segmentSizeBytes });
    // Parts of a segment come and go; the whole one is there before the backup is.
    const inventory = {
      has: (name: string) => whole.has(name),
      ranges: (timeline: TimelineId) => whole.ranges(timeline),
    };
    const { segments, gap } = walPathFrom(history, inventory, from, segmentSizeBytes);
    if (gap !== undefined) {
      this.#broken = `WAL segment ${gap.name} is not in the repository`;
      return;
    }
    await this.#reading(async () => {
      const pass = { wal, segments, segmentSizeBytes, history, from, scanner: this.#scanner };
      for await (const fact of scanPath(pass, options).facts) see(fact);
      this.#next += BigInt(segments.length);
      this.#check();
    });
  }

  /** Goes on up to `to`, or with `partly` as far as the archive reaches by now. */
  async readOn(to: Lsn, see: SeeFact, options: StageOptions & { readonly partly?: boolean }): Promise<void> {
    const { wal, history, segmentSizeBytes } = this.#request;
    const size = BigInt(segmentSizeBytes);
    await this.#reading(async () => {
      while (this.#broken === undefined && this.#next * size < to) {
        const [timeline = history.timeline] = segmentTimelines(history, this.#next, segmentSizeBytes);
        const name = segmentName(timeline, this.#next, segmentSizeBytes);
        const found = await wal.get(name, options);
        if (found === undefined) {
          if (options.partly !== true) this.#broken = `WAL segment ${name} is not in the repository`;
          return;
        }
        await using content = begun(found.content);
        const from = this.#next === this.#request.from / size ? this.#request.from : undefined;
        const place = { start: lsn(this.#next * size), segmentSizeBytes, from };
        for (const fact of await scanSegment(this.#scanner, { header: found.header, content }, place)) see(fact);
        this.#next += 1n;
        this.#check();
      }
    });
  }

  /** Damage of the archive, or WAL that this host may not read, is a reason to read more of the server, not to take no backup. */
  async #reading(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const codes = ['CORRUPT', 'WAL_GAP', 'WAL_INVALID', 'REPOSITORY_FORMAT', 'KEY_REQUIRED', 'KEY_WRONG'] as const;
      if (!hasCode(error, ...codes)) throw error;
      this.#broken = error.message;
    }
  }

  #check(): void {
    const { ended, position } = this.#scanner;
    if (ended !== undefined) this.#broken = `the archived WAL cannot be read past ${formatLsn(position)}`;
  }
}

/** What the archived WAL proves of the files since the backup to build on. */
export interface ProvenBase {
  readonly wal: WalProof;
  readonly changes: RelationChanges;
}

/** @returns why nothing is proven, where nothing is */
export async function proveBase(request: ProofRequest, options: StageOptions): Promise<ProvenBase | string> {
  const wal = new WalProof(request);
  const changes = new RelationChanges();
  await wal.readArchived((fact) => changes.see(fact), options);
  if (wal.broken !== undefined) return wal.broken;
  return changes.unlogged ? 'wal_level was minimal for a while' : { wal, changes };
}
