import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { ByteReader, ByteWriter } from './bytes.ts';
import { decodeChunkIndex, encodeChunkIndex } from './chunk-index.ts';
import { decodeHead, encodeHead } from './container.ts';
import {
  decodeDirectory,
  decodeFooter,
  decodeTable,
  encodeDirectory,
  encodeFooter,
  encodeTable,
} from './container-tail.ts';
import { decodeEntries } from './entries.ts';
import { decodeExtents } from './extents.ts';
import { readFrameHeader, writeFrameHeader } from './frame.ts';
import { openSealedJson, sealJson } from './sealed-json.ts';

const CORRUPT = expect.objectContaining({ code: 'CORRUPT' });
const TOO_NEW = expect.objectContaining({ code: 'REPOSITORY_FORMAT' });

/** A frame header with some bytes changed and its checksum made right again. */
function frameHeader(changes: Readonly<Record<number, number>>): Buffer {
  const header = Buffer.alloc(32);
  writeFrameHeader(header, 0, { codec: 'zstd', plainBytes: 10, payloadBytes: 5, number: 0, generation: 0 });
  for (const [at, value] of Object.entries(changes)) header[Number(at)] = value;
  header.writeUInt32LE(crc32(header.subarray(0, 28)), 28);
  return header;
}

test.each([
  ['is encrypted and names no key', { 5: 1 }],
  ['names a key and is not encrypted', { 6: 1 }],
])('a frame that %s is damaged', (_, changes) => {
  expect(() => readFrameHeader(frameHeader(changes), 'x')).toThrow(CORRUPT);
});

test.each([
  ['a newer format', { 4: 2 }],
  ['an unknown flag', { 5: 128 }],
])('a frame with %s needs a newer release', (_, changes) => {
  expect(() => readFrameHeader(frameHeader(changes), 'x')).toThrow(TOO_NEW);
});

test('a frame without a codec is CORRUPT', () => {
  expect(() => readFrameHeader(frameHeader({ 8: 0, 9: 0, 10: 0, 11: 0 }), 'x')).toThrow(CORRUPT);
});

test('a number that does not end, or is beyond 2^53, is CORRUPT', () => {
  for (const bytes of [Buffer.alloc(9, 0x80), Buffer.alloc(8, 0xff), Buffer.from([0x80])])
    expect(() => new ByteReader(bytes, 'x').varint()).toThrow(CORRUPT);
  expect(() => new ByteReader(Buffer.alloc(8, 0xff), 'x').u64()).toThrow(CORRUPT);
  expect(() => new ByteReader(Buffer.from([5, 1, 2]), 'x').counted()).toThrow(CORRUPT);
});

/** Sections of an extents chunk, or records of an entries chunk. */
function written(write: (writer: ByteWriter) => void): Buffer {
  const writer = new ByteWriter();
  write(writer);
  return writer.take();
}

test('an unknown section of extents is skipped from 64 on, else it needs a newer release', () => {
  const section = (id: number): Buffer =>
    written((writer) => (writer.varint(id), writer.counted(Buffer.from('later'))));
  expect(decodeExtents(section(65), 'x')).toEqual({ frames: [], zeros: [], contents: [] });
  expect(() => decodeExtents(section(3), 'x')).toThrow(TOO_NEW);
});

test('an unknown kind of chunk is skipped from 64 on, else it needs a newer release', () => {
  const index = (kind: number): Buffer => encodeChunkIndex([{ kind, first: 0, last: 0 }]);
  expect(decodeChunkIndex(index(64), 1, 'x')).toHaveLength(1);
  expect(() => decodeChunkIndex(index(7), 1, 'x')).toThrow(TOO_NEW);
  expect(() => decodeChunkIndex(index(3), 2, 'x')).toThrow(CORRUPT);
});

test('fields that follow the known ones of an entry are skipped, an unknown type needs a newer release', () => {
  const entry = (type: number, shared: number): Buffer =>
    written((writer) =>
      writer.counted(
        written((record) => {
          for (const value of [type, shared]) record.varint(value);
          record.counted(Buffer.from('a'));
          for (const value of [0o600, 2, 3]) record.varint(value);
          record.counted(Buffer.from('nanoseconds, perhaps'));
        }),
      ),
    );
  expect(decodeEntries(entry(0, 0), 5, 'x')).toEqual([
    { ordinal: 5, type: 'file', path: 'a', mode: 0o600, modifiedAtSeconds: 1, sizeBytes: 3 },
  ]);
  expect(() => decodeEntries(entry(3, 0), 0, 'x')).toThrow(TOO_NEW);
  expect(() => decodeEntries(entry(0, 1), 0, 'x')).toThrow(CORRUPT);
});

test('a newer format of a header needs a newer release', () => {
  expect(() => decodeHead(encodeHead('pack', { format: 2 }), 'pack', 'x')).toThrow(TOO_NEW);
  expect(() => decodeHead(encodeHead('pack', {}), 'wal', 'x')).toThrow(CORRUPT);
});

test('sealed JSON that is no object, or has another member than it must, is CORRUPT', () => {
  const fields = openSealedJson(sealJson({ text: 'x', number: 1, nothing: null, parts: [1] }), 'x');
  for (const wrong of [
    () => fields.text('number'),
    () => fields.integer('text'),
    () => fields.boolean('text'),
    () => fields.object('nothing'),
    () => fields.list('text'),
    () => fields.list('parts'),
    () => fields.text('missing'),
  ])
    expect(wrong).toThrow(CORRUPT);
  expect(() => fields.word('text', ['y', 'z'])).toThrow(TOO_NEW);
});

test('a footer whose figures disagree is CORRUPT, unknown flags need a newer release', () => {
  const nothing = hash('sha256', '', 'buffer');
  const hashes = { headSha256: nothing, tableSha256: nothing, tailSha256: nothing };
  const right = { objectBytes: 408, tableOffset: 100, frames: 3, tailOffset: 244, tailBytes: 4, ...hashes };
  expect(decodeFooter(encodeFooter(right), 408, 'x')).toMatchObject({ frames: 3, tailBytes: 4 });
  expect(() => decodeFooter(encodeFooter(right), 409, 'x')).toThrow(CORRUPT);
  for (const wrong of [{ tableOffset: 99 }, { frames: 2 }, { tailOffset: 245 }, { tailBytes: 5 }])
    expect(() => decodeFooter(encodeFooter({ ...right, ...wrong }), 408, 'x')).toThrow(CORRUPT);
  const flagged = encodeFooter(right);
  flagged.writeUInt32LE(1, 28);
  flagged.writeUInt32LE(crc32(flagged.subarray(0, 156)), 156);
  expect(() => decodeFooter(flagged, 408, 'x')).toThrow(TOO_NEW);
});

test('a frame table with a gap, or that ends elsewhere than the frames, is CORRUPT', () => {
  const entry = { storedBytes: 10, plainBytes: 20, sha256: Buffer.alloc(32) };
  const table = encodeTable([
    { ...entry, offset: 100 },
    { ...entry, offset: 110 },
  ]);
  expect(decodeTable(table, 100, 120, 'x')).toHaveLength(2);
  expect(() => decodeTable(table, 99, 120, 'x')).toThrow(CORRUPT);
  expect(() => decodeTable(table, 100, 121, 'x')).toThrow(CORRUPT);
  expect(() =>
    decodeTable(
      encodeTable([
        { ...entry, offset: 100 },
        { ...entry, offset: 111 },
      ]),
      100,
      121,
      'x',
    ),
  ).toThrow(CORRUPT);
});

test('a tail directory that is longer than its tail is CORRUPT', () => {
  expect(decodeDirectory(encodeDirectory([{ id: 9, offset: 1, sizeBytes: 2 }]), 'x')).toEqual([
    { id: 9, offset: 1, sizeBytes: 2, sealed: false },
  ]);
  expect(() => decodeDirectory(Buffer.from([9, 0, 0, 0]), 'x')).toThrow(CORRUPT);
  expect(() => decodeDirectory(Buffer.from([1]), 'x')).toThrow(CORRUPT);
});
