/** Pages whose checksums are wrong: looked at again, then recorded. @packageDocumentation */
import type { Lsn } from '@keyframe/contracts';
import { createPageInspector, type PageInspector } from '@keyframe/postgres';
import type { DamagedPage } from '@keyframe/repository';
import type { StageOptions } from '../events.ts';
import { pause } from '../pause.ts';
import type { PagePlace } from './page-lane.ts';

/** Reads a page anew from the server or its disk; `undefined` when that cannot be done or the page is gone. */
export type ReadPageAgain = (place: PagePlace) => Promise<Uint8Array | undefined>;

/** A page being written while it was read looks damaged too; it does not twice. */
const LOOKS = 4;
const BETWEEN_LOOKS_MS = 50;
/** Pages that are named; beyond it they are counted. */
const NAMED = 1000;
/** Warnings that are told; a broken disk has thousands. */
const TOLD = 20;

/** The damaged pages of one backup. */
export class DamagedPages {
  readonly #readAgain: ReadPageAgain;
  readonly #verifyBelow: Lsn;
  readonly #options: StageOptions;
  readonly #list: DamagedPage[] = [];
  #count = 0;
  #replaced = 0;
  #inspector: PageInspector | undefined;
  readonly #states = new Uint8Array(1);

  constructor(readAgain: ReadPageAgain, verifyBelow: Lsn, options: StageOptions) {
    this.#readAgain = readAgain;
    this.#verifyBelow = verifyBelow;
    this.#options = options;
  }

  get count(): number {
    return this.#count;
  }

  /** Pages of which a later look found a whole version. */
  get replaced(): number {
    return this.#replaced;
  }

  get list(): readonly DamagedPage[] {
    return this.#list;
  }

  /** Writes a whole version of the page over it when there is one; else the page stays as it was read, and is recorded. */
  async check(place: PagePlace, page: Uint8Array): Promise<void> {
    for (let look = 0; look < LOOKS; look++) {
      if (look > 0) await pause(BETWEEN_LOOKS_MS * 2 ** look, this.#options.signal);
      const fresh = await this.#readAgain(place);
      if (fresh?.length !== page.length) break;
      if (!this.#isDamaged(fresh, place.block)) {
        page.set(fresh);
        this.#replaced += 1;
        return;
      }
    }
    this.#record(place);
  }

  #isDamaged(page: Uint8Array, firstBlock: number): boolean {
    // One of its own: the pages of the backup lie in the memory of the other.
    this.#inspector ??= createPageInspector();
    const question = { firstBlock, unchangedBelow: undefined, verify: true, verifyBelow: this.#verifyBelow };
    return this.#inspector.inspect(page, { ...question, states: this.#states }).damaged > 0;
  }

  /**
   * Forgets those for which `isRestored` holds: replay of the backup's own WAL sets them anew. What was in the middle of
   * being written when it was read is always among them.
   */
  forgive(isRestored: (page: DamagedPage) => boolean): void {
    const left = this.#list.filter((page) => !isRestored(page));
    this.#count -= this.#list.length - left.length;
    this.#list.splice(0, this.#list.length, ...left);
  }

  /** Says what is damaged, once it is known for good. */
  tell(): void {
    for (const [index, { path, block }] of this.#list.slice(0, TOLD).entries()) {
      const more = index === TOLD - 1 && this.#count > TOLD ? `; and ${this.#count - TOLD} more` : '';
      const message = `page ${block} of ${path} is damaged: its checksum is wrong${more}`;
      this.#options.onEvent?.({ kind: 'warning', message });
    }
  }

  #record({ path, block }: PagePlace): void {
    this.#count += 1;
    if (this.#list.length < NAMED) this.#list.push({ path, block });
  }
}
