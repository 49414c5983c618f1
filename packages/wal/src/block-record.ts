/**
 * Which pages a record brings back whole.
 * @see DecodeXLogRecord() in src/backend/access/transam/xlogreader.c and src/include/access/xlogrecord.h in PostgreSQL
 * @packageDocumentation
 */
import type { BlockId } from './facts.ts';
import type { PostgresMajor } from './page-header.ts';
import type { RecordBody } from './record.ts';

const LARGEST_BLOCK_ID = 32;
const ORIGIN = 253;
const TOPLEVEL_XID = 252;
const RM_LOGICALMSG = 21;
const RM_HEAP2 = 9;
/** Bits of a heap record's info that tell what it does, and the one that marks pages as visible to all. */
const HEAP2 = { mask: 0x70, visible: 0x40 } as const;

const BLOCK = { forkMask: 0x0f, hasImage: 0x10, willInit: 0x40, sameRelation: 0x80 } as const;
const IMAGE_HAS_HOLE = 0x01;

/** PostgreSQL 15 gave each way of compression a bit, and moved the one that says that replay applies the image. */
const applies = (info: number, major: PostgresMajor): boolean => (info & (major === 14 ? 0x04 : 0x02)) !== 0;
const isCompressed = (info: number, major: PostgresMajor): boolean => (info & (major === 14 ? 0x02 : 0x1c)) !== 0;

/** False for records that name no page, and may be large. */
export function mayNameBlocks(resourceManager: number): boolean {
  return resourceManager !== RM_LOGICALMSG;
}

/**
 * True for records that say of a page that all of it is visible to everybody. Where pages have no checksums and wal_log_hints is
 * off, the page is marked under its old LSN.
 * @see visibilitymap_set() in src/backend/access/heap/visibilitymap.c
 */
export function isVisible(resourceManager: number, info: number): boolean {
  return resourceManager === RM_HEAP2 && (info & HEAP2.mask) === HEAP2.visible;
}

/** One block reference: where the next one begins, and the page. */
interface BlockReference {
  readonly next: number;
  readonly block: BlockId;
  readonly isMain: boolean;
  readonly restores: boolean;
}

/**
 * Calls `visit` for every page of a main fork that the record names; `restores` says that replay sets the page anew, from an
 * image or from nothing.
 */
export function visitBlocks(
  record: RecordBody,
  major: PostgresMajor,
  visit: (block: BlockId, restores: boolean) => void,
): void {
  const { view, start, end } = record;
  let before: BlockId | undefined;
  for (let at = start; at + 4 <= end;) {
    const id = view.getUint8(at);
    if (id === ORIGIN) at += 3;
    else if (id === TOPLEVEL_XID) at += 5;
    else {
      const found = id > LARGEST_BLOCK_ID ? undefined : readReference(record, at, before, major);
      if (found === undefined) return;
      if (found.isMain) visit(found.block, found.restores);
      before = found.block;
      at = found.next;
    }
  }
}

function readReference(
  { view, end }: RecordBody,
  start: number,
  before: BlockId | undefined,
  major: PostgresMajor,
): BlockReference | undefined {
  const flags = view.getUint8(start + 1);
  const isMain = (flags & BLOCK.forkMask) === 0;
  let restores = (flags & BLOCK.willInit) !== 0;
  let at = start + 4;
  if ((flags & BLOCK.hasImage) !== 0) {
    if (at + 5 > end) return undefined;
    const info = view.getUint8(at + 4);
    restores ||= applies(info, major);
    at += (info & IMAGE_HAS_HOLE) !== 0 && isCompressed(info, major) ? 7 : 5;
  }
  const sameAs = (flags & BLOCK.sameRelation) === 0 ? undefined : before;
  if (sameAs !== undefined && at + 4 <= end)
    return { next: at + 4, block: { ...sameAs, block: view.getUint32(at, true) }, isMain, restores };
  if ((flags & BLOCK.sameRelation) !== 0 || at + 16 > end) return undefined;
  const block = {
    tablespace: view.getUint32(at, true),
    database: view.getUint32(at + 4, true),
    relfilenode: view.getUint32(at + 8, true),
    block: view.getUint32(at + 12, true),
  };
  return { next: at + 16, block, isMain, restores };
}
