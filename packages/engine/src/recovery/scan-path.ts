/** One pass over the archived WAL of a path, with the next segments already under way. @packageDocumentation */
import { KeyframeError, type Lsn } from '@keyframe/contracts';
import { timelineAt, type TimelineHistory } from '@keyframe/postgres';
import type { WalArchive } from '@keyframe/repository';
import { createWalScanner, type WalFact, type WatchOptions } from '@keyframe/wal';
import { readSegment } from '../archive/read-segment.ts';
import type { StageOptions } from '../events.ts';
import type { FactScan } from '../target/index.ts';
import type { PathSegment } from './wal-path.ts';

export interface ScanRequest {
  readonly wal: WalArchive;
  readonly segments: readonly PathSegment[];
  readonly segmentSizeBytes: number;
  /** The history that is followed: a page of any other timeline ends the pass. */
  readonly history: TimelineHistory;
  /** Where the first record begins; absent: the first record that begins in the first segment. */
  readonly from?: Lsn | undefined;
  readonly watch?: WatchOptions | undefined;
}

/** Plain bytes of segments fetched ahead of the scanner. */
const AHEAD_BYTES = 48 << 20;

/** @throws {KeyframeError} while iterating: CORRUPT, UNAVAILABLE, WAL_GAP when a listed segment is gone */
export function scanPath(request: ScanRequest, options: StageOptions = {}): FactScan {
  const { segmentSizeBytes, segments, watch } = request;
  const scanner = createWalScanner({
    segmentSizeBytes,
    watch,
    timelineOf: (position) => timelineAt(request.history, position),
  });
  async function* facts(): AsyncGenerator<WalFact> {
    const depth = Math.max(1, Math.floor(AHEAD_BYTES / segmentSizeBytes));
    const ahead: Promise<Buffer>[] = [];
    try {
      for (const [index, segment] of segments.entries()) {
        while (ahead.length < depth && index + ahead.length < segments.length)
          ahead.push(fetchAhead(request, segments[index + ahead.length], options));
        const bytes = await ahead.shift();
        if (bytes === undefined) return;
        const from = index === 0 ? request.from : undefined;
        yield* scanner.scan(bytes, segment.start, { from });
        options.onEvent?.({ kind: 'scan', done: index + 1, total: segments.length, segment: segment.name });
        if (scanner.ended !== undefined) return;
      }
    } finally {
      await Promise.allSettled(ahead);
    }
  }
  return {
    facts: facts(),
    position: () => scanner.position,
    lastRecord: () => scanner.lastRecord,
    ended: () => scanner.ended,
  };
}

function fetchAhead(request: ScanRequest, segment: PathSegment | undefined, options: StageOptions): Promise<Buffer> {
  const fetched = fetchSegment(request, segment?.name ?? '', options);
  // Awaited in its turn; until then its rejection is not unhandled.
  fetched.catch(() => undefined);
  return fetched;
}

async function fetchSegment(
  { wal, segmentSizeBytes }: ScanRequest,
  name: string,
  options: StageOptions,
): Promise<Buffer> {
  const found = await wal.get(name, options);
  if (found !== undefined) return readSegment(found, segmentSizeBytes);
  throw new KeyframeError('WAL_GAP', `WAL segment ${name} was listed and is gone now`, {
    hint: 'Run `keyframe wal status`; something removes objects from the store while Keyframe reads it.',
    details: { name },
  });
}
