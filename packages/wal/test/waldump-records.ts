/** One line a record, as the lens and as pg_waldump tell it: where, what, whose, and the pages it names. @packageDocumentation */
import { formatLsn, type Lsn, lsn, parseLsn } from '@keyframe/contracts';
import {
  createWalLens,
  type DecodedRecord,
  type PostgresMajor,
  recordName,
  resourceManagerName,
} from '../src/index.ts';
import type { Segment } from './waldump.ts';

/** What a lens takes at once. */
const PIECE_BYTES = 1 << 20;
const FORKS = ['', 'fsm', 'vm', 'init'];
const LINE = /^rmgr: (\S+)\s+len \(rec\/tot\):\s*\d+\/\s*\d+, tx:\s*(\d+), lsn: (\S+), prev \S+, desc: (\S+) ?(.*)$/;
const BLOCK = /blkref #(\d+): rel (\d+)\/(\d+)\/(\d+)(?: fork:? ?(\w+))? blk (\d+)( \(?FPW)?/g;

function lineOf(record: DecodedRecord, major: PostgresMajor): string {
  const name = recordName(record.resourceManager, record.info, major) ?? '?';
  const blocks = record.blocks.map(({ tablespace, database, relfilenode, fork, block, image }) => {
    const isWhole = image === undefined || image.length === 8192;
    return ` ${tablespace}/${database}/${relfilenode}${FORKS[fork]} ${block}${image === undefined ? '' : isWhole ? ' FPW' : '?'}`;
  });
  const { lsn: at, resourceManager, xid } = record;
  return `${formatLsn(at)} ${resourceManagerName(resourceManager)} ${name} ${xid}${blocks.join('')}`;
}

/** The lines of what pg_waldump printed. */
export function linesOfWaldump(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const [, manager, xid, at, name, rest = ''] = LINE.exec(line) ?? [];
    if (manager === undefined || at === undefined) return [];
    const blocks = [...rest.matchAll(BLOCK)].map(([, , tablespace, database, node, fork = '', block, image]) => {
      const named = fork === 'main' ? '' : fork;
      return ` ${tablespace}/${database}/${node}${named} ${block}${image === undefined ? '' : ' FPW'}`;
    });
    return [`${formatLsn(parseLsn(at))} ${manager} ${name} ${xid}${blocks.join('')}`];
  });
}

/** The lines of `[start, end)` as the lens reads them. */
export function linesOfLens(
  segments: readonly Segment[],
  range: { readonly major: PostgresMajor; readonly segmentSizeBytes: number; readonly start: Lsn; readonly end: Lsn },
): string[] {
  const { major, segmentSizeBytes, start, end } = range;
  const lines: string[] = [];
  const onRecord = (record: DecodedRecord): void => {
    if (record.lsn >= start && record.lsn < end) lines.push(lineOf(record, major));
  };
  const lens = createWalLens({ segmentSizeBytes, onRecord });
  for (const { start: first, bytes } of segments)
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const more = at + PIECE_BYTES < bytes.length;
      lens.read(bytes.subarray(at, at + PIECE_BYTES), { timeline: 1, start: lsn(first + BigInt(at)), more });
    }
  return lines;
}
