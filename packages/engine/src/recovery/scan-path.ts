/** One pass over the archived WAL of a path, with the next segments already under way. @packageDocumentation */
import { KeyframeError, type Lsn } from '@keyframe/contracts';
import { timelineAt, type TimelineHistory } from '@keyframe/postgres';
import type { WalArchive } from '@keyframe/repository';
import { createWalScanner, type WalFact, type WalScanner, type WatchOptions } from '@keyframe/wal';
import { begun, type FoundSegment, scanSegment } from '../archive/scan-segment.ts';
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
  /** One that is to go on after this pass; it brings its own history and watch. */
  readonly scanner?: WalScanner | undefined;
}

/** Plain bytes that segments opened ahead of the scanner may hold together, and at most each: what the archive decodes ahead. */
const AHEAD_BYTES = 24 << 20;
const BEGUN_BYTES = 8 << 20;

/** @throws {KeyframeError} while iterating: CORRUPT, UNAVAILABLE, WAL_GAP when a listed segment is gone */
export function scanPath(request: ScanRequest, options: StageOptions = {}): FactScan {
  const { segmentSizeBytes, segments, watch } = request;
  const scanner =
    request.scanner ??
    createWalScanner({
      segmentSizeBytes,
      watch,
      timelineOf: (position) => timelineAt(request.history, position),
    });
  async function* facts(): AsyncGenerator<WalFact> {
    const depth = Math.floor(AHEAD_BYTES / Math.min(segmentSizeBytes, BEGUN_BYTES));
    const ahead: Promise<BegunSegment>[] = [];
    try {
      for (const [index, segment] of segments.entries()) {
        while (ahead.length < depth && index + ahead.length < segments.length)
          ahead.push(begin(request, segments[index + ahead.length], options));
        const found = await ahead.shift();
        if (found === undefined) return;
        const from = index === 0 ? request.from : undefined;
        await using content = found.content;
        const { header } = found;
        yield* await scanSegment(scanner, { header, content }, { start: segment.start, segmentSizeBytes, from });
        options.onEvent?.({ kind: 'scan', done: index + 1, total: segments.length, segment: segment.name });
        if (scanner.ended !== undefined) return;
      }
    } finally {
      for (const opened of await Promise.allSettled(ahead))
        if (opened.status === 'fulfilled') await opened.value.content[Symbol.asyncDispose]();
    }
  }
  return {
    facts: facts(),
    position: () => scanner.position,
    lastRecord: () => scanner.lastRecord,
    ended: () => scanner.ended,
  };
}

interface BegunSegment extends FoundSegment {
  readonly content: ReturnType<typeof begun>;
}

function begin(request: ScanRequest, segment: PathSegment | undefined, options: StageOptions): Promise<BegunSegment> {
  const opened = openSegment(request.wal, segment, options);
  // Awaited in its turn; until then its rejection is not unhandled.
  opened.catch(() => undefined);
  return opened;
}

async function openSegment(
  wal: WalArchive,
  segment: PathSegment | undefined,
  options: StageOptions,
): Promise<BegunSegment> {
  const { name = '', endBytes } = segment ?? {};
  const found = await (endBytes === undefined ? wal.get(name, options) : wal.getStreamed(name, endBytes, options));
  if (found !== undefined) return { header: found.header, content: begun(found.content) };
  throw new KeyframeError('WAL_GAP', `WAL segment ${name} was listed and is gone now`, {
    hint: 'Run `keyframe wal status`; something removes objects from the store while Keyframe reads it.',
    details: { name },
  });
}
