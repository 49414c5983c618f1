/** WAL of the server on this machine, archived or not. @packageDocumentation */
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import type { Abortable, ByteStream, Lsn } from '@keyframe/contracts';
import type { WalArchive } from '@keyframe/repository';
import { readSegmentHeader } from '@keyframe/wal';
import { begun, inPieces } from '../archive/scan-segment.ts';

/** Where WAL is. */
export interface WalPlaces {
  readonly wal: Pick<WalArchive, 'get'>;
  readonly dataDirectory: string;
}

/** What of which segment is read. */
export interface WalStretch {
  readonly name: string;
  readonly begin: Lsn;
  readonly segmentSizeBytes: number;
  /** Bytes from its beginning that matter; at least these are given. */
  readonly sizeBytes: number;
  /** Offsets at which the caller wants to pause. */
  readonly borders: readonly number[];
}

/** Some pages of a segment. */
export interface WalPiece {
  readonly bytes: Uint8Array;
  /** More of what was asked for follows. */
  readonly more: boolean;
  /** It ends at the page that holds a border. */
  readonly isBorder: boolean;
}

const PIECE_BYTES = 1 << 20;
const PAGE_BYTES = 8192;
/** A page of any size that PostgreSQL can be built with. */
const LARGEST_PAGE = 64 << 10;

/**
 * Opens a segment, in pg_wal if it is there still: that costs no request and no key. Its bytes are as good as its records'
 * checksums; a file that was recycled meanwhile does not pass for what it was.
 */
export async function openWalSegment(
  { wal, dataDirectory }: WalPlaces,
  stretch: WalStretch,
  options: Abortable,
): Promise<(AsyncIterable<WalPiece> & AsyncDisposable) | undefined> {
  const content = (await openLocal(path.join(dataDirectory, 'pg_wal', stretch.name), stretch)) ?? (await archived());
  if (content === undefined) return undefined;
  return {
    [Symbol.asyncIterator]: () => cut(content, stretch, options),
    [Symbol.asyncDispose]: () => content[Symbol.asyncDispose](),
  };

  async function archived(): Promise<(ByteStream & AsyncDisposable) | undefined> {
    const found = await wal.get(stretch.name, options);
    return found && begun(found.content);
  }
}

async function openLocal(
  file: string,
  { begin, segmentSizeBytes }: WalStretch,
): Promise<(ByteStream & AsyncDisposable) | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(file);
  } catch (error) {
    // Removed, or not for this user to read: then the archive has it.
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
  const close = (): Promise<void> => handle.close();
  const first = Buffer.alloc(PAGE_BYTES);
  const { bytesRead } = await handle.read(first, 0, PAGE_BYTES, 0);
  if (bytesRead < PAGE_BYTES || !isSegment(first, begin, segmentSizeBytes)) {
    await close();
    return undefined;
  }
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < segmentSizeBytes; at += PIECE_BYTES) {
      const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, segmentSizeBytes - at));
      const read = await handle.read(piece, 0, piece.length, at);
      yield piece.subarray(0, read.bytesRead);
      if (read.bytesRead < piece.length) return;
    }
  }
  const content = bytes();
  return { [Symbol.asyncIterator]: () => content, [Symbol.asyncDispose]: close };
}

/** Not an older one that waits under this name to be written over. */
function isSegment(page: Buffer, begin: Lsn, segmentSizeBytes: number): boolean {
  if (page.every((byte) => byte === 0)) return false;
  const header = readSegmentHeader(page);
  return header.pageAddress === begin && header.segmentSizeBytes === segmentSizeBytes;
}

async function* cut(
  content: ByteStream,
  { sizeBytes, segmentSizeBytes, borders }: WalStretch,
  { signal }: Abortable,
): AsyncGenerator<WalPiece> {
  const end = Math.min(segmentSizeBytes, Math.ceil(sizeBytes / LARGEST_PAGE) * LARGEST_PAGE);
  const pages = new Set(borders.map((border) => Math.floor(border / PAGE_BYTES) * PAGE_BYTES));
  const stops = [...pages].filter((page) => page > 0 && page < end).toSorted((one, other) => one - other);
  let at = 0;
  for await (const piece of inPieces(content)) {
    signal?.throwIfAborted();
    for (let from = 0; from < piece.length && at < end;) {
      const stop = stops.find((each) => each > at) ?? end;
      const to = Math.min(piece.length, from + stop - at);
      at += to - from;
      yield { bytes: piece.subarray(from, to), more: at < end, isBorder: at === stop };
      from = to;
    }
    if (at === end) return;
  }
}
