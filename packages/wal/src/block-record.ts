/**
 * Which pages a record brings back whole.
 * @packageDocumentation
 */
import type { BlockId } from './facts.ts';
import type { PostgresMajor } from './page-header.ts';
import type { RecordBody } from './record.ts';
import { FLAG, readHeaders } from './record-headers.ts';

const RM_LOGICALMSG = 21;
const RM_HEAP2 = 9;
/** Bits of a heap record's info that tell what it does, and the one that marks pages as visible to all. */
const HEAP2 = { mask: 0x70, visible: 0x40 } as const;

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

/**
 * Calls `visit` for every page of a main fork that the record names; `restores` says that replay sets the page anew, from an
 * image or from nothing.
 */
export function visitBlocks(
  record: RecordBody,
  major: PostgresMajor,
  visit: (block: BlockId, restores: boolean) => void,
): void {
  for (const { flags, image, tablespace, database, relfilenode, block } of readHeaders(record, major)?.blocks ?? []) {
    if ((flags & FLAG.forkMask) !== 0) continue;
    visit({ tablespace, database, relfilenode, block }, (flags & FLAG.willInit) !== 0 || image?.applies === true);
  }
}
