import { crc32c } from '@keyframe/wal';
import { describe, expect, it } from 'vitest';
import { readControlFile } from './control-file.ts';

/** A control file with recognisable values, its CRC right for the layout. */
function controlFile(version: 1300 | 1700 | 1800, catalog: number): Buffer {
  const bytes = Buffer.alloc(8192);
  bytes.writeBigUInt64LE(7570987654321098765n, 0);
  bytes.writeUInt32LE(version, 8);
  bytes.writeUInt32LE(catalog, 12);
  bytes.writeUInt32LE(6, 16);
  bytes.writeBigUInt64LE(0x16_b374_d848n, 32);
  bytes.writeBigUInt64LE(0x16_b374_d810n, 40);
  bytes.writeUInt32LE(3, 48);
  bytes.writeUInt32LE(1, 172);
  bytes.writeUInt32LE(8192, 216);
  bytes.writeUInt32LE(64 << 20, 228);
  bytes.writeUInt32LE(1, 252);
  const crcOffset = version === 1800 ? 292 : 288;
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, crcOffset)) >>> 0, crcOffset);
  return bytes;
}

describe('readControlFile', () => {
  it.each([
    [1300, 202107181, 14],
    [1300, 202209061, 15],
    [1300, 202307071, 16],
    [1700, 202406281, 17],
    [1800, 202506291, 18],
  ] as const)('reads format %i, catalog %i as PostgreSQL %i', (version, catalog, major) => {
    expect(readControlFile(controlFile(version, catalog))).toMatchObject({
      systemIdentifier: '7570987654321098765',
      postgresMajor: major,
      state: 'in production',
      checkpoint: 0x16_b374_d848n,
      redo: 0x16_b374_d810n,
      timeline: 3,
      walLevel: 'replica',
      walSegmentSizeBytes: 64 << 20,
      dataChecksumVersion: 1,
    });
  });

  it('reads a view into a larger buffer', () => {
    const padded = Buffer.concat([Buffer.alloc(3), controlFile(1800, 202506291)]);
    expect(readControlFile(padded.subarray(3)).timeline).toBe(3);
  });

  it('has no major for a catalog version of no release', () => {
    expect(readControlFile(controlFile(1800, 202599999)).postgresMajor).toBeUndefined();
  });

  it.each([0, 17, 228, 255, 291])('finds a flipped bit in byte %i', (offset) => {
    const bytes = controlFile(1800, 202506291);
    bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset);
    expect(() => readControlFile(bytes)).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
  });

  it('refuses a cut file and another format by different codes', () => {
    expect(() => readControlFile(Buffer.alloc(100))).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
    const swapped = controlFile(1800, 202506291).subarray(0, 296).swap32();
    expect(() => readControlFile(swapped)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }));
  });
});
