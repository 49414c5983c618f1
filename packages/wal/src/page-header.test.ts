import { describe, expect, it } from 'vitest';
import { PAGE_MAGIC, readSegmentHeader } from './page-header.ts';

interface Fields {
  magic: number;
  flags: number;
  timeline: number;
  address: bigint;
  systemIdentifier: bigint;
  segmentSize: number;
  blockSize: number;
}

const GOOD: Fields = {
  magic: PAGE_MAGIC[17],
  flags: 0x02,
  timeline: 3,
  address: 0x16_b4_00_00_00n,
  systemIdentifier: 7_574_321_987_654_321_098n,
  segmentSize: 1 << 24,
  blockSize: 8192,
};

function header(change: Partial<Fields> = {}): Uint8Array {
  const fields = { ...GOOD, ...change };
  const view = new DataView(new ArrayBuffer(40));
  view.setUint16(0, fields.magic, true);
  view.setUint16(2, fields.flags, true);
  view.setUint32(4, fields.timeline, true);
  view.setBigUint64(8, fields.address, true);
  view.setBigUint64(24, fields.systemIdentifier, true);
  view.setUint32(32, fields.segmentSize, true);
  view.setUint32(36, fields.blockSize, true);
  return new Uint8Array(view.buffer);
}

describe('readSegmentHeader', () => {
  it('reads every field', () => {
    expect(readSegmentHeader(header())).toEqual({
      magic: 0xd1_16,
      postgresMajor: 17,
      timeline: 3,
      pageAddress: 0x16_b4_00_00_00n,
      systemIdentifier: '7574321987654321098',
      segmentSizeBytes: 16_777_216,
      blockSizeBytes: 8192,
    });
  });

  it('reads a header that stands anywhere in a buffer', () => {
    const buffer = new Uint8Array(64);
    buffer.set(header(), 13);
    expect(readSegmentHeader(buffer.subarray(13)).systemIdentifier).toBe('7574321987654321098');
  });

  it('keeps a system identifier beyond the range of signed numbers', () => {
    expect(readSegmentHeader(header({ systemIdentifier: 2n ** 64n - 1n })).systemIdentifier).toBe(
      '18446744073709551615',
    );
  });

  it('parses an unknown magic of the same family without naming a major', () => {
    expect(readSegmentHeader(header({ magic: 0xd1_19 })).postgresMajor).toBeUndefined();
  });

  it.each<[string, Partial<Fields>]>([
    ['zeros', { magic: 0 }],
    ['another magic', { magic: 0x1f_8b }],
    ['the other byte order', { magic: 0x16_d1 }],
    ['unknown flags', { flags: 0x12 }],
    ['a short header', { flags: 0x01 }],
    ['timeline 0', { timeline: 0 }],
    ['a segment size that is no power of two', { segmentSize: (1 << 24) + 8192 }],
    ['a segment size above 1 GiB', { segmentSize: 2 ** 31 }],
    ['a segment size below 1 MiB', { segmentSize: 1 << 19 }],
    ['a block size of 0', { blockSize: 0 }],
    ['a block size above 64 KiB', { blockSize: 1 << 17 }],
    ['an address inside a segment', { address: 0x16_b4_00_20_00n }],
  ])('refuses %s', (_, change) => {
    expect(() => readSegmentHeader(header(change))).toThrow(expect.objectContaining({ code: 'WAL_INVALID' }));
  });

  it('refuses fewer bytes than a header', () => {
    expect(() => readSegmentHeader(header().subarray(0, 39))).toThrow(expect.objectContaining({ code: 'WAL_INVALID' }));
  });
});
