import { lsn } from '@keyframe/contracts';
import { expect, it } from 'vitest';
import { decodeNotes, encodeNotes, type SegmentNotes } from './notes.ts';
import { readRelationMap } from './relation-map.ts';
import { decodeState } from './state-codec.ts';

const NOTES: SegmentNotes = {
  relations: [
    {
      relation: { tablespace: 1663, database: 5, relfilenode: 16_400 },
      oid: 16_390,
      database: 'shop',
      schema: 'public',
      name: 'purchases',
      kind: 'r',
      persistence: 'p',
      rows: 1000,
      owner: undefined,
      earlier: [{ until: lsn(0x1000n), schema: 'public', name: 'orders' }],
    },
    {
      relation: { tablespace: 1663, database: 5, relfilenode: 16_403 },
      oid: 16_403,
      database: undefined,
      schema: undefined,
      name: 'pg_toast_16390',
      kind: 't',
      persistence: 'p',
      rows: -1,
      owner: { schema: 'public', name: 'purchases' },
      earlier: [],
    },
  ],
  transactions: [
    {
      xid: 7431,
      lsn: lsn(0x118e_6b60n),
      actions: [{ verb: 'drop', object: 'TABLE', name: 'public.customers', rows: 10_000 }],
      rewritten: [16_400],
    },
  ],
};

it('notes come back as they were', () => {
  expect(decodeNotes(encodeNotes(NOTES))).toEqual(NOTES);
});

it('what is no notes, no snapshot or no relation map is told apart', () => {
  const corrupt = expect.objectContaining({ code: 'CORRUPT' });
  const newer = expect.objectContaining({ code: 'REPOSITORY_FORMAT' });
  expect(() => decodeNotes(Buffer.from('{'))).toThrow(corrupt);
  expect(() => decodeNotes(Buffer.from('{"format":2}'))).toThrow(newer);
  expect(() => decodeState(Buffer.alloc(3))).toThrow(corrupt);
  expect(() => decodeState(Buffer.from([2, 0, 0, 0, 0x7b, 0x7b]))).toThrow(corrupt);
  expect(readRelationMap(Buffer.alloc(512))).toBeUndefined();
});
