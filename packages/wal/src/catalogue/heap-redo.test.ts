import { lsn } from '@keyframe/contracts';
import { describe, expect, it } from 'vitest';
import type { DecodedBlock, DecodedRecord } from '../lens/decoded-record.ts';
import { HeapFile } from './heap-file.ts';
import { redo } from './heap-redo.ts';
import { columnsOf, type HeapTuple } from './heap-tuple.ts';

const RELATION = { tablespace: 1663, database: 5, relfilenode: 1259, fork: 0, block: 0 };
const HEAP = 10;
const HEAP2 = 9;

function block(data: readonly number[], parts: Partial<DecodedBlock> = {}): DecodedBlock {
  return { ...RELATION, willInit: false, data: Uint8Array.from(data), image: undefined, imageApplies: false, ...parts };
}

function record(
  at: number,
  info: number,
  main: readonly number[],
  blocks: readonly DecodedBlock[],
  resourceManager = HEAP,
): DecodedRecord {
  const place = { lsn: lsn(BigInt(at)), endLsn: lsn(BigInt(at + 8)), resourceManager, info, xid: at, topXid: 0 };
  return { ...place, mainData: Uint8Array.from(main), blocks };
}

/** Oid 7, then letters. */
const row = (text: string): number[] => [7, 0, 0, 0, ...Buffer.from(text)];
const header = [3, 0, 2, 8, 24];

function follow(
  major: 14 | 18,
  records: readonly DecodedRecord[],
): { file: HeapFile; touched: number[]; rows: () => string[] } {
  const file = new HeapFile();
  const touched: number[] = [];
  const target = {
    major,
    file: () => file,
    touched: (_: HeapFile, tuple: HeapTuple) => touched.push(tuple.xmin),
    changedInPlace: () => undefined,
  };
  for (const each of records) redo(each, target);
  const rows = (): string[] =>
    [...(file.block(0)?.tuples ?? [])].map(
      ([offset, tuple]) =>
        `${offset}:${tuple.xmin}-${tuple.xmax}:${Buffer.from(columnsOf(tuple).subarray(4)).toString()}`,
    );
  return { file, touched, rows };
}

const first = record(100, 0x80, [1, 0, 0], [block([...header, 0, ...row('abcdef')], { willInit: true })]);
/** Old offset 1, prefix 6 and suffix 2 bytes of the old row; new offset 2. */
const renamed = record(
  200,
  0x40,
  [200, 0, 0, 0, 1, 0, 0, 0x60, 0, 0, 0, 0, 2, 0],
  [block([6, 0, 2, 0, ...header, 0, ...Buffer.from('XY')])],
);

describe('redo', () => {
  it('inserts, and updates with what the old version lends', () => {
    const { rows, touched, file } = follow(18, [first, renamed]);
    expect(rows()).toEqual(['1:100-200:abcdef', '2:200-0:abXYef']);
    expect(touched).toEqual([100, 100, 200]);
    expect(file.versions(7)).toHaveLength(2);
  });

  it('leaves a page alone that has the record in it already', () => {
    expect(follow(18, [first, renamed, renamed]).rows()).toEqual(['1:100-200:abcdef', '2:200-0:abXYef']);
  });

  it('does not guess what a page held that it never saw', () => {
    const { file, rows } = follow(18, [renamed]);
    expect([rows(), [...file.unknown]]).toEqual([[], [0]]);
  });

  it('forgets a page whose new row begins like one that is not there', () => {
    const orphan = record(300, 0x40, [44, 1, 0, 0, 9, 0, 0, 0x20, 0, 0, 0, 0, 3, 0], [block([2, 0, ...header, 0, 1])]);
    const { file } = follow(18, [first, orphan]);
    expect([file.block(0), [...file.unknown]]).toEqual([undefined, [0]]);
  });

  it('forgets a page for a record that is shorter than what it says', () => {
    const { file } = follow(18, [first, record(300, 0x10, [1, 0], [block([])])]);
    expect([...file.unknown]).toEqual([0]);
  });

  it('deletes and prunes in the forms of 14 and of 17', () => {
    const deleted = record(300, 0x10, [44, 1, 0, 0, 2, 0, 0, 0], [block([])]);
    const old = record(400, 0x10, [0, 0, 0, 0, 0, 0, 1, 0], [block([1, 0])], HEAP2);
    const young = record(400, 0x10, [0, 0x40], [block([1, 0, 1, 0])], HEAP2);
    expect(follow(14, [first, renamed, deleted, old]).rows()).toEqual(['2:200-300:abXYef']);
    expect(follow(18, [first, renamed, deleted, young]).rows()).toEqual(['2:200-300:abXYef']);
  });
});
