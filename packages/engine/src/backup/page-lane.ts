/** The way of pages from a reader to the backup: judged in chunks, handed on in runs. @packageDocumentation */
import type { Lsn } from '@keyframe/contracts';
import { PAGE, type PageInspector } from '@keyframe/postgres';
import type { FileSink } from '@keyframe/repository';

export const PAGE_BYTES = 8192;
/** As much as a frame holds, so that chunks and frames begin together. */
export const CHUNK_BYTES: number = 256 << 10;

/** A page that is wrong. `block` counts from the start of the relation, `filePage` from the start of its file. */
export interface PagePlace {
  readonly path: string;
  readonly block: number;
  readonly filePage: number;
}

/** How all pages of a backup are judged. */
export interface PageRules {
  /** Pages with an LSN below are as in the base. `undefined`: none is taken over. */
  readonly unchangedBelow: Lsn | undefined;
  /** The cluster has data checksums. */
  readonly verify: boolean;
  /** Start LSN of the running backup. */
  readonly verifyBelow: Lsn;
  /** Looks at a damaged page once more. What it finds better it writes over the page. */
  onDamage(place: PagePlace, page: Uint8Array): Promise<void>;
}

/** A file whose pages are judged. */
export interface PageFile {
  readonly path: string;
  readonly sink: FileSink;
  /** Number of its first page in the relation. */
  readonly firstBlock: number;
  /** Blocks of the relation from here on are written whatever their LSN says. */
  readonly keptBlocks: number;
  /** True for pages that are written although nothing in their LSN says so. `block` counts from the start of the relation. */
  isDoubtful?: ((block: number, page: Uint8Array) => boolean) | undefined;
  /** Called when pages are kept. */
  onKept?(): void;
}

/** Judges the pages of one file at a time. */
export class PageLane {
  readonly #inspector: PageInspector;
  readonly #rules: PageRules;
  readonly #states = new Uint8Array(CHUNK_BYTES / PAGE_BYTES);

  constructor(inspector: PageInspector, rules: PageRules) {
    this.#inspector = inspector;
    this.#rules = rules;
  }

  /** Hands on whole pages, at most a chunk of them, the first of which has the number `filePage` in its file. */
  take(file: PageFile, pages: Uint8Array, filePage: number): void | Promise<void> {
    const count = pages.length / PAGE_BYTES;
    const firstBlock = file.firstBlock + filePage;
    const { unchangedBelow, verify, verifyBelow } = this.#rules;
    const states = this.#states;
    const keepable = Math.min(count, Math.max(0, file.keptBlocks - firstBlock));
    const question = { firstBlock, verify, verifyBelow, states };
    const counts = this.#inspector.inspect(pages, {
      ...question,
      unchangedBelow: keepable === 0 ? undefined : unchangedBelow,
    });
    for (let index = keepable; index < count; index++)
      if (states[index] === PAGE.unchanged) states[index] = PAGE.changed;
    if (counts.unchanged > 0) this.#doubt(file, pages, firstBlock);
    if (counts.damaged > 0) {
      file.sink.distrust(pages.length);
      return this.#lookAgain(file, pages, filePage).then(() => this.#handOn(file, pages, count, 0));
    }
    return this.#handOn(file, pages, count, 0);
  }

  #doubt({ isDoubtful }: PageFile, pages: Uint8Array, firstBlock: number): void {
    if (isDoubtful === undefined) return;
    const states = this.#states;
    for (let index = 0; index * PAGE_BYTES < pages.length; index++) {
      if (states[index] !== PAGE.unchanged) continue;
      const page = pages.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES);
      if (isDoubtful(firstBlock + index, page)) states[index] = PAGE.changed;
    }
  }

  async #lookAgain(file: PageFile, pages: Uint8Array, filePage: number): Promise<void> {
    const count = pages.length / PAGE_BYTES;
    for (let index = 0; index < count; index++) {
      if (this.#states[index] !== PAGE.damaged) continue;
      const page = pages.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES);
      const place = { path: file.path, block: file.firstBlock + filePage + index, filePage: filePage + index };
      await this.#rules.onDamage(place, page);
    }
  }

  /** Runs of pages that are kept or written; a promise only where the writer asks to wait. */
  #handOn(file: PageFile, pages: Uint8Array, count: number, from: number): void | Promise<void> {
    const states = this.#states;
    let at = from;
    while (at < count) {
      const keep = states[at] === PAGE.unchanged;
      let end = at + 1;
      while (end < count && (states[end] === PAGE.unchanged) === keep) end += 1;
      const run = pages.subarray(at * PAGE_BYTES, end * PAGE_BYTES);
      if (keep) file.onKept?.();
      const waiting = keep ? file.sink.keep(run.length, run) : file.sink.write(run);
      at = end;
      if (waiting !== undefined) {
        const next = at;
        return waiting.then(() => this.#handOn(file, pages, count, next));
      }
    }
    return undefined;
  }
}

/** Gathers what comes in views of any size into chunks of pages. */
export class PageGatherer {
  readonly #lane: PageLane;
  readonly #chunk: Buffer;
  #file: PageFile | undefined;
  #filled = 0;
  #filePage = 0;

  /** `chunk` is where pages are judged, best in the inspector's own memory. */
  constructor(lane: PageLane, chunk: Buffer) {
    this.#lane = lane;
    this.#chunk = chunk;
  }

  begin(file: PageFile): void {
    this.#file = file;
    this.#filled = 0;
    this.#filePage = 0;
  }

  push(view: Uint8Array, from = 0): void | Promise<void> {
    let at = from;
    while (at < view.length) {
      const count = Math.min(view.length - at, this.#chunk.length - this.#filled);
      this.#chunk.set(at === 0 && count === view.length ? view : view.subarray(at, at + count), this.#filled);
      this.#filled += count;
      at += count;
      if (this.#filled < this.#chunk.length) continue;
      const waiting = this.#flush();
      if (waiting === undefined) continue;
      const next = at;
      return waiting.then(() => this.push(view, next));
    }
    return undefined;
  }

  /** A file whose last page is not whole was being extended; its rest is written as it is. */
  end(): void | Promise<void> {
    const rest = this.#filled % PAGE_BYTES;
    const start = this.#filled - rest;
    this.#filled = start;
    const waiting = start === 0 ? undefined : this.#flush();
    if (rest === 0) return waiting;
    const write = (): void | Promise<void> => this.#file?.sink.write(this.#chunk.subarray(start, start + rest));
    return waiting === undefined ? write() : waiting.then(write);
  }

  #flush(): void | Promise<void> {
    const pages = this.#chunk.subarray(0, this.#filled);
    const filePage = this.#filePage;
    this.#filePage += this.#filled / PAGE_BYTES;
    this.#filled = 0;
    return this.#file === undefined ? undefined : this.#lane.take(this.#file, pages, filePage);
  }
}
