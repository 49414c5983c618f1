import { formatLsn, type Lsn, lsn } from '@keyframe/contracts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commitRecord, WalBuilder } from '../test/wal-builder.ts';
import { createWalScanner } from './index.ts';

const TIME = 1_795_584_000_123_456n;
const filler = (sizeBytes: number): Uint8Array => new Uint8Array(sizeBytes).fill(0x5a);

interface Scannable {
  readonly start: Lsn;
  readonly bytes: Uint8Array;
  readonly more?: boolean;
}

/** The same bytes, so many pages at a time. */
function inPieces(segments: readonly Scannable[], pages: readonly number[]): Scannable[] {
  const pieces: Scannable[] = [];
  for (const { start, bytes } of segments)
    for (let at = 0; at < bytes.length;) {
      const size = 8192 * (pages[pieces.length % pages.length] ?? 1);
      const piece = bytes.subarray(at, at + size);
      pieces.push({ start: lsn(start + BigInt(at)), bytes: piece, more: at + size < bytes.length });
      at += size;
    }
  return pieces;
}

/** All that a scanner says of it. */
function outcomeOf(scanned: readonly Scannable[], from?: Lsn) {
  const records: string[] = [];
  const scanner = createWalScanner({
    segmentSizeBytes: 1 << 20,
    onRecord: (record) => records.push(`${formatLsn(record.lsn)}-${formatLsn(record.endLsn)}`),
  });
  const facts = scanned.flatMap(({ start, bytes, more }, index) =>
    scanner.scan(bytes, start, { from: index === 0 ? from : undefined, more }),
  );
  const { position, lastRecord, unfinished, ended } = scanner;
  return { facts, records, position, lastRecord, unfinished, ended };
}

describe('a scan of pieces', () => {
  it('reads what a scan of whole segments reads, and ends where and why it ends, damaged or not', () => {
    const sizes = fc.array(fc.oneof(fc.integer({ min: -1, max: 300 }), fc.integer({ min: 7000, max: 300_000 })), {
      minLength: 1,
      maxLength: 40,
    });
    const story = fc.record({
      sizes,
      pages: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 9 }),
      skipped: fc.nat(1),
      from: fc.option(fc.nat(39)),
      flip: fc.option(fc.nat((3 << 20) - 1)),
      cut: fc.nat(100_000),
    });
    fc.assert(
      fc.property(story, ({ sizes: lengths, pages, skipped, from, flip, cut }) => {
        const wal = new WalBuilder({ segments: 16 });
        const written = lengths.map((length, index) => {
          if (length < 0) return wal.append({ resourceManager: 0, info: 0x40 });
          return index % 3 === 0 ? wal.append(commitRecord(index + 700, TIME)) : wal.append({ data: filler(length) });
        });
        const segments = wal.segments().slice(skipped, 6);
        const damaged = segments[(flip ?? 0) >> 20]?.bytes;
        if (flip !== null && damaged !== undefined) damaged[flip & 0xf_ff_ff] = 0xff;
        const begin = from === null ? undefined : written[from]?.lsn;
        const isInFirst =
          begin !== undefined && (segments[0]?.start ?? 0n) <= begin && begin < (segments[1]?.start ?? 0n);
        const begins = isInFirst ? begin : undefined;
        const whole = segments.map(({ start, bytes }, index) => {
          const size = index === segments.length - 1 ? bytes.length - cut : bytes.length;
          return { start, bytes: bytes.subarray(0, size) };
        });
        expect(outcomeOf(inPieces(whole, pages), begins)).toEqual(outcomeOf(whole, begins));
      }),
      { numRuns: 150 },
    );
  });

  it('refuses a piece that ends inside a page, or that does not follow', () => {
    const wal = new WalBuilder();
    wal.append({ data: filler(100_000) });
    const [piece] = inPieces(wal.segments(), [2]);
    if (piece === undefined) throw new Error();
    const refused = expect.objectContaining({ code: 'INVALID_OPTION' });
    expect(() => outcomeOf([{ ...piece, bytes: piece.bytes.subarray(0, 8000) }])).toThrow(refused);
    expect(() => outcomeOf([piece, piece])).toThrow(refused);
  });
});
