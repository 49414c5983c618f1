/** Pages that changed under their old LSNs. @packageDocumentation */
import type { BlockId } from '@keyframe/wal';

/** Where `pd_flags` lies in a page, and the bit of it that says that everything on the page is visible to everybody. */
const FLAGS_OFFSET = 10;
const ALL_VISIBLE = 0x04;

/** Pages of one relation in one bitmap of 2 KiB. */
const BITMAP_PAGES = 16_384;
/** 16 MiB of them: enough for a terabyte that was vacuumed whole. */
const MANY_BITMAPS = 8192;

/** Whether a page says that everything on it is visible to everybody. */
export function isAllVisible(page: Uint8Array): boolean {
  return ((page[FLAGS_OFFSET] ?? 0) & ALL_VISIBLE) !== 0;
}

/**
 * Pages that a vacuum marked as visible to all. Without checksums and wal_log_hints that leaves the page's LSN as it is, while the
 * visibility map says the same: of a page that were taken over without the mark, later changes would not reach the map, and
 * index-only scans would show rows that are gone.
 * @see visibilitymap_set() in src/backend/access/heap/visibilitymap.c
 */
export class MarkedPages {
  readonly #bitmaps = new Map<string, Uint8Array>();
  readonly #mostBitmaps: number;
  #isAll = false;

  constructor(mostBitmaps: number = MANY_BITMAPS) {
    this.#mostBitmaps = mostBitmaps;
  }

  add(page: BlockId): void {
    if (this.#isAll) return;
    const key = keyOf(page);
    let bitmap = this.#bitmaps.get(key);
    if (bitmap === undefined) {
      if (this.#bitmaps.size >= this.#mostBitmaps) {
        this.addAll();
        return;
      }
      bitmap = new Uint8Array(BITMAP_PAGES / 8);
      this.#bitmaps.set(key, bitmap);
    }
    const at = page.block % BITMAP_PAGES;
    bitmap[at >>> 3] = (bitmap[at >>> 3] ?? 0) | (1 << (at & 7));
  }

  /** Any page may have been: the WAL that tells is not at hand. */
  addAll(): void {
    this.#isAll = true;
    this.#bitmaps.clear();
  }

  has(page: BlockId): boolean {
    if (this.#isAll) return true;
    const at = page.block % BITMAP_PAGES;
    const bitmap = this.#bitmaps.get(keyOf(page));
    return bitmap !== undefined && ((bitmap[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0;
  }
}

function keyOf({ tablespace, database, relfilenode, block }: BlockId): string {
  return `${tablespace}/${database}/${relfilenode}/${Math.floor(block / BITMAP_PAGES)}`;
}
