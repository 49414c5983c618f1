import { describe, expect, it } from 'vitest';
import { crc32c } from './crc32c.ts';

/** The textbook definition, one bit at a time. */
function reference(bytes: Uint8Array): number {
  let crc = 0xff_ff_ff_ff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82_f6_3b_78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

describe('crc32c', () => {
  it.each([
    // RFC 3720, B.4, and the check value of the CRC catalogue
    ['32 zeros', new Uint8Array(32), 0x8a_91_36_aa],
    ['32 ones', new Uint8Array(32).fill(0xff), 0x62_a8_ab_43],
    ['rising', Uint8Array.from({ length: 32 }, (_, index) => index), 0x46_dd_79_4e],
    ['falling', Uint8Array.from({ length: 32 }, (_, index) => 31 - index), 0x11_3f_db_5c],
    ['123456789', Buffer.from('123456789'), 0xe3_06_92_83],
    ['nothing', new Uint8Array(0), 0],
  ])('gives the published value of %s', (_, bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
  });

  it('agrees with the bitwise definition at every length and alignment', () => {
    const bytes = Uint8Array.from({ length: 96 }, (_, index) => (index * 167 + (index >> 3)) & 0xff);
    for (let start = 0; start < 9; start++)
      for (let end = start; end <= bytes.length; end++)
        expect(crc32c(bytes.subarray(start, end))).toBe(reference(bytes.subarray(start, end)));
  });

  it('continues over pieces', () => {
    const bytes = Buffer.from('a base backup is a keyframe, WAL is the frames between');
    for (let cut = 0; cut <= bytes.length; cut++)
      expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(crc32c(bytes));
  });
});
