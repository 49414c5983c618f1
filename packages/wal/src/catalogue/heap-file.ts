import { columnsOf, type HeapBlock, type HeapTuple } from './heap-tuple.ts';

/** Offset numbers of a page are below this. */
const OFFSETS = 2048;

/** The oid of a catalogue's row: its first column in every catalogue that is kept here. */
export function oidOf(tuple: HeapTuple): number | undefined {
  const columns = columnsOf(tuple);
  if (columns.length < 4) return undefined;
  return new DataView(columns.buffer, columns.byteOffset, 4).getUint32(0, true);
}

/** The pages of one catalogue's file, and where the versions of each row are. */
export class HeapFile {
  readonly #blocks = new Map<number, HeapBlock>();
  /** Positions by oid. */
  readonly #places = new Map<number, Set<number>>();
  /** Pages that a record changed of which the content is not known. */
  readonly unknown: Set<number> = new Set();

  /** The page, if it is known. */
  block(number: number): HeapBlock | undefined {
    return this.#blocks.get(number);
  }

  /** All pages, in no order. */
  blocks(): Iterable<readonly [number, HeapBlock]> {
    return this.#blocks;
  }

  /** The page from here on; it was unknown, or another. */
  replace(number: number, block: HeapBlock): void {
    this.#forget(number);
    this.unknown.delete(number);
    this.#blocks.set(number, block);
    for (const [offset, tuple] of block.tuples) this.#index(number, offset, tuple);
  }

  /** What the page holds cannot be told until an image of it comes. */
  lose(number: number): void {
    this.#forget(number);
    this.#blocks.delete(number);
    this.unknown.add(number);
  }

  set(number: number, offset: number, tuple: HeapTuple): void {
    this.remove(number, offset);
    this.#blocks.get(number)?.tuples.set(offset, tuple);
    this.#index(number, offset, tuple);
  }

  remove(number: number, offset: number): void {
    const tuples = this.#blocks.get(number)?.tuples;
    const tuple = tuples?.get(offset);
    if (tuple === undefined) return;
    tuples?.delete(offset);
    const oid = oidOf(tuple);
    if (oid !== undefined) this.#places.get(oid)?.delete(number * OFFSETS + offset);
  }

  /** Cuts the file to so many pages. */
  truncate(blocks: number): void {
    for (const number of [...this.#blocks.keys(), ...this.unknown])
      if (number >= blocks) {
        this.#forget(number);
        this.#blocks.delete(number);
        this.unknown.delete(number);
      }
  }

  /** All versions of one row. */
  versions(oid: number): HeapTuple[] {
    const found: HeapTuple[] = [];
    for (const place of this.#places.get(oid) ?? []) {
      const tuple = this.#blocks.get(Math.floor(place / OFFSETS))?.tuples.get(place % OFFSETS);
      if (tuple !== undefined) found.push(tuple);
    }
    return found;
  }

  /** Oids of rows of which there is some version. */
  *oids(): Generator<number> {
    for (const [oid, places] of this.#places) if (places.size > 0) yield oid;
  }

  /** As a copy of the file would be. */
  clone(): HeapFile {
    const copy = new HeapFile();
    for (const [number, { lsn, tuples }] of this.#blocks) {
      const copied = new Map([...tuples].map(([offset, tuple]) => [offset, { ...tuple }]));
      copy.replace(number, { lsn, tuples: copied });
    }
    for (const number of this.unknown) copy.unknown.add(number);
    return copy;
  }

  #index(number: number, offset: number, tuple: HeapTuple): void {
    const oid = oidOf(tuple);
    if (oid === undefined) return;
    const places = this.#places.get(oid);
    if (places === undefined) this.#places.set(oid, new Set([number * OFFSETS + offset]));
    else places.add(number * OFFSETS + offset);
  }

  #forget(number: number): void {
    const block = this.#blocks.get(number);
    if (block === undefined) return;
    for (const offset of block.tuples.keys()) this.remove(number, offset);
  }
}
