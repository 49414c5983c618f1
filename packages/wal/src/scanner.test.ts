import { formatLsn, type Lsn, lsn } from '@keyframe/contracts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commitRecord, mainData, timestamp, WalBuilder, type Written } from '../test/wal-builder.ts';
import { createWalScanner, type WalFact, type WalScanner, type WalScannerOptions } from './index.ts';

const TIME = 1_795_584_000_123_456n;

interface Scanned {
  readonly scanner: WalScanner;
  readonly facts: WalFact[];
  /** `lsn-end` of every record. */
  readonly records: string[];
}

const span = ({ lsn: start, endLsn }: Written): string => `${formatLsn(start)}-${formatLsn(endLsn)}`;

function scanAll(
  segments: readonly { start: Lsn; bytes: Uint8Array }[],
  options: Partial<WalScannerOptions> & { from?: Lsn } = {},
): Scanned {
  const records: string[] = [];
  const scanner = createWalScanner({
    segmentSizeBytes: 1 << 20,
    onRecord: (record) => records.push(span(record)),
    ...options,
  });
  const facts = segments.flatMap(({ start, bytes }, index) =>
    scanner.scan(bytes, start, index === 0 ? { from: options.from } : {}),
  );
  return { scanner, facts, records };
}

const filler = (sizeBytes: number): Uint8Array => new Uint8Array(sizeBytes).fill(0x5a);

describe('the scanner', () => {
  it('reads records of any length over pages and segments, and ends at the zeros behind the last', () => {
    const sizes = fc.array(fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 7000, max: 40_000 })), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(sizes, fc.boolean(), (lengths, verifyAll) => {
        const wal = new WalBuilder({ segments: 3 });
        const written = lengths.map((length, index) =>
          index % 3 === 0 ? wal.append(commitRecord(index + 700, TIME)) : wal.append({ data: filler(length), xid: 3 }),
        );
        const { scanner, records } = scanAll(wal.segments());
        expect(records).toEqual(written.map(span));
        expect(scanner.position).toBe(written.length === 0 ? 0n : wal.position);
        expect(scanner.lastRecord).toBe(written.at(-1)?.lsn);
        expect(scanner.ended).toMatchObject({ reason: 'zeros' });
        const quiet = scanAll(wal.segments(), { onRecord: undefined, verifyAll });
        expect(quiet.facts.map(span)).toEqual(written.filter((_, index) => index % 3 === 0).map(span));
        expect(quiet.scanner.position).toBe(scanner.position);
      }),
      { numRuns: 40 },
    );
  });

  it.each([0, 8, 16, 24, 32])('reads a commit whose header has %i bytes left on its page', (left) => {
    const wal = new WalBuilder();
    wal.fillTo(left);
    const commit = wal.append(commitRecord(741, TIME));
    const { facts } = scanAll(wal.segments());
    expect(facts).toEqual([
      {
        kind: 'commit',
        ...commit,
        previousEndLsn: left === 0 ? commit.lsn - 24n : commit.lsn,
        xid: 741,
        timeMicros: TIME,
        prepared: false,
        subtransactions: 0,
      },
    ]);
  });

  it('reads the parts of a transaction record wherever its two-phase xid stands', () => {
    const parts = Buffer.alloc(4 + 8 + 4 + 12 + 4 + 12 + 4 + 12 + 4 + 4 + 16);
    let at = parts.writeUInt32LE(1 | 2 | 4 | 256 | 8 | 16, 0);
    at = parts.writeUInt32LE(3, at + 8);
    at = parts.writeUInt32LE(1, at + 12);
    at = parts.writeUInt32LE(1, at + 12);
    at = parts.writeUInt32LE(1, at + 12);
    parts.writeUInt32LE(9001, at + 16);
    const wal = new WalBuilder();
    const data = mainData(Buffer.concat([timestamp(TIME), parts]));
    // A replication origin and the top-level xid may stand before the main data.
    const origin = Buffer.from([253, 1, 0, 252, 1, 2, 3, 4]);
    wal.append({ resourceManager: 1, info: 0x30 | 0x80, xid: 9007, data: Buffer.concat([origin, data]) });
    const { facts } = scanAll(wal.segments());
    expect(facts).toMatchObject([{ kind: 'commit', xid: 9001, prepared: true, subtransactions: 3, timeMicros: TIME }]);
  });

  it('goes past the rest of a segment that was switched', () => {
    const wal = new WalBuilder();
    wal.append({});
    const change = wal.append({ resourceManager: 0, info: 0x40 });
    const next = wal.append(commitRecord(5, TIME));
    const { facts } = scanAll(wal.segments());
    expect(change.endLsn).toBe(wal.start + (1n << 20n));
    expect(facts).toMatchObject([
      { kind: 'switch', ...change },
      { kind: 'commit', ...next, previousEndLsn: change.endLsn },
    ]);
  });

  it('finds the first record that begins in a segment, past the rest of an earlier one of any length', () => {
    const wal = new WalBuilder({ segments: 5 });
    wal.append({ data: filler(3 << 20) });
    const first = wal.append(commitRecord(5, TIME));
    const { facts } = scanAll(wal.segments().slice(1));
    expect(facts).toMatchObject([{ kind: 'commit', ...first, previousEndLsn: first.lsn }]);
  });

  it('begins at a record in the middle', () => {
    const wal = new WalBuilder();
    wal.append(commitRecord(4, TIME));
    wal.append({ data: filler(20_000) });
    const second = wal.append(commitRecord(5, TIME));
    const third = wal.append(commitRecord(6, TIME));
    expect(scanAll(wal.segments(), { from: second.lsn }).facts.map(span)).toEqual([second, third].map(span));
  });

  it.each([
    ['inside a page header', 8192n + 8n, 'record-header'],
    ['inside a record', 128n, 'record-header'],
    ['in the rest of an earlier record', 8192n + 24n, 'continuation'],
    ['at a page that begins with the rest of one', 8192n, 'continuation'],
  ])('reads nothing from a position %s', (_, offset, reason) => {
    const wal = new WalBuilder();
    wal.append({ data: filler(20_000) });
    const { scanner, facts } = scanAll(wal.segments(), { from: lsn(wal.start + offset) });
    expect(facts).toEqual([]);
    expect(scanner.ended).toMatchObject({ reason });
  });

  it('skips a record that crash recovery gave up', () => {
    const wal = new WalBuilder();
    const before = wal.append({});
    const { abandoned, overwrite } = wal.abandon({ data: filler(10_000) });
    const after = wal.append(commitRecord(6, TIME));
    const { facts, records } = scanAll(wal.segments());
    expect(records).toEqual([before, overwrite, after].map(span));
    expect(facts).toMatchObject([
      { kind: 'overwrite', abandonedLsn: abandoned, previousEndLsn: before.endLsn },
      { xid: 6 },
    ]);
  });

  it('reports the records around a watched position, and of a watched xid the first', () => {
    const wal = new WalBuilder();
    const [first, second, third, fourth] = [8, 9, 9, 10].map((xid) => wal.append({ xid, data: filler(100) }));
    if (first === undefined || second === undefined || third === undefined || fourth === undefined) throw new Error();
    const at = (position: bigint) => scanAll(wal.segments(), { watch: { positions: [lsn(position)] } }).facts.map(span);
    expect(at(third.lsn)).toEqual([second, third].map(span));
    expect(at(third.lsn + 1n)).toEqual([third, fourth].map(span));
    expect(at(fourth.lsn + 1n)).toEqual([fourth].map(span));
    expect(at(wal.position + 8n)).toEqual([]);
    expect(at(1n)).toEqual([first].map(span));
    expect(scanAll(wal.segments(), { watch: { xid: 9 } }).facts).toMatchObject([{ kind: 'record', xid: 9, ...second }]);
  });

  it('says of which transaction a watched xid was a part', () => {
    const parts = Buffer.alloc(16);
    parts.writeUInt32LE(2, 0);
    parts.writeUInt32LE(2, 4);
    parts.writeUInt32LE(11, 8);
    parts.writeUInt32LE(12, 12);
    const wal = new WalBuilder();
    wal.append({ resourceManager: 1, info: 0xa0, xid: 10, data: mainData(Buffer.concat([timestamp(TIME), parts])) });
    const { facts } = scanAll(wal.segments(), { watch: { xid: 12 } });
    expect(facts).toMatchObject([
      { kind: 'abort', subtransactions: 2 },
      { kind: 'subtransaction', xid: 12, topXid: 10 },
    ]);
  });

  it('reads a segment that is not all there as far as it goes', () => {
    const wal = new WalBuilder();
    const records = Array.from({ length: 400 }, () => wal.append({ data: filler(100) }));
    const [segment] = wal.segments();
    if (segment === undefined) throw new Error();
    const cut = (length: number) => scanAll([{ start: segment.start, bytes: segment.bytes.subarray(0, length) }]);
    const whole = records.filter(({ endLsn }) => endLsn <= segment.start + 20_000n);
    expect(cut(20_000).records).toEqual(whole.map(span));
    expect(cut(16_384).scanner.ended).toMatchObject({ reason: 'cut' });
    expect(cut(0).scanner.ended).toMatchObject({ reason: 'cut' });
  });
});

describe('the end of a scan', () => {
  const cases: [string, (bytes: Buffer) => void, string][] = [
    ['a wrong checksum', (bytes) => bytes.fill(0xff, 300, 301), 'checksum'],
    ['another link back', (bytes) => bytes.fill(0x11, 40 + 152 + 8, 40 + 152 + 9), 'previous-link'],
    ['a length below the header', (bytes) => bytes.writeUInt32LE(8, 40 + 152), 'record-header'],
    ['an unknown resource manager', (bytes) => bytes.fill(99, 40 + 152 + 17, 40 + 152 + 18), 'record-header'],
    ['a length beyond the page', (bytes) => bytes.writeUInt32LE(1_000_000, 40 + 152), 'continuation'],
    ['a page of an earlier life', (bytes) => bytes.writeUInt32LE(0x10_20_00, 8192 + 8), 'stale-page'],
    ['zeros from a page on', (bytes) => bytes.fill(0, 8192), 'zeros'],
    ['a page of another format', (bytes) => bytes.writeUInt16LE(0xd1_10, 8192), 'page-header'],
    ['unknown page flags', (bytes) => bytes.writeUInt16LE(0x40, 8192 + 2), 'page-header'],
    ['a page of an older timeline', (bytes) => bytes.writeUInt32LE(0, 8192 + 4), 'timeline'],
    ['a page that does not continue', (bytes) => bytes.writeUInt16LE(0, 8192 + 2), 'continuation'],
    ['a segment of another size', (bytes) => bytes.writeUInt32LE(1 << 21, 32), 'page-header'],
    ['a segment of an unknown release', (bytes) => bytes.writeUInt16LE(0xd1_99, 0), 'page-header'],
    ['no WAL at all', (bytes) => bytes.fill('x'), 'page-header'],
  ];

  it.each(cases)('names %s', (_, damage, reason) => {
    const wal = new WalBuilder();
    const records = Array.from({ length: 400 }, () => wal.append({ data: filler(128) }));
    const [segment] = wal.segments();
    if (segment === undefined) throw new Error();
    damage(segment.bytes);
    const scanned = scanAll([segment]);
    expect(scanned.scanner.ended).toMatchObject({ reason });
    expect(scanned.records).toEqual(records.slice(0, scanned.records.length).map(span));
    expect(scanned.records.length).toBeLessThan(60);
  });

  it('is where a page is not of the timeline that is expected there', () => {
    const wal = new WalBuilder();
    Array.from({ length: 100 }, () => wal.append({ data: filler(128) }));
    wal.timeline = 2;
    Array.from({ length: 100 }, () => wal.append({ data: filler(128) }));
    const fork = wal.start + 16_384n;
    expect(scanAll(wal.segments(), { timelineOf: (at) => (at < fork ? 1 : 2) }).records).toHaveLength(200);
    const parent = scanAll(wal.segments(), { timelineOf: () => 1 });
    expect(parent.scanner.ended).toMatchObject({ reason: 'timeline', at: fork });
  });

  it('says which record was left unfinished', () => {
    const wal = new WalBuilder();
    wal.append({});
    const long = wal.append({ data: filler(1 << 20) });
    const { scanner } = scanAll(wal.segments().slice(0, 1));
    expect(scanner.ended).toBeUndefined();
    expect(scanner.unfinished).toBe(long.lsn);
    expect(scanner.position).toBe(long.lsn);
  });

  it('refuses segments out of order', () => {
    const wal = new WalBuilder({ segments: 3 });
    wal.append({ data: filler(5 << 19) });
    const [first, , third] = wal.segments();
    if (first === undefined || third === undefined) throw new Error();
    expect(() => scanAll([first, third])).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  it('never reports a record that was not written, whatever bits are flipped', () => {
    const wal = new WalBuilder();
    const written = new Set(
      Array.from({ length: 300 }, (_, index) =>
        span(index % 2 === 0 ? wal.append(commitRecord(index, TIME)) : wal.append({ data: filler(index * 40) })),
      ),
    );
    const used = Number(wal.position - wal.start);
    const flips = fc.array(fc.tuple(fc.nat(used - 1), fc.nat(7)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(flips, (bits) => {
        const segments = wal.segments();
        for (const [at, bit] of bits) {
          const bytes = segments[at >> 20]?.bytes;
          if (bytes !== undefined) bytes[at & 0xf_ff_ff] = (bytes[at & 0xf_ff_ff] ?? 0) ^ (1 << bit);
        }
        for (const record of scanAll(segments).records) expect(written).toContain(record);
        for (const fact of scanAll(segments, { verifyAll: false, onRecord: undefined }).facts)
          expect(written).toContain(span(fact));
      }),
      { numRuns: 60 },
    );
  });
});
