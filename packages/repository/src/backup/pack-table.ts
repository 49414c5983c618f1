import type { PackLine } from '../format/manifest-tables.ts';

/** A pack of another backup. */
export interface OtherPack {
  readonly key: string;
  /** As the manifest that named it first, or the pack itself, says; with the epoch and the label spelled out. */
  readonly line: PackLine;
  /** It is known to be damaged or gone: nothing in it is named by a new backup. */
  readonly isSuspect?: boolean | undefined;
}

/** The packs that a manifest names: those of its own backup as they are begun, those of others as they are referenced. */
export class PackTable {
  readonly #epoch: number;
  readonly #lines: (PackLine | undefined)[] = [];
  readonly #live: number[] = [];
  readonly #others = new Map<string, number>();
  #own = 0;

  constructor(epoch: number) {
    this.#epoch = epoch;
  }

  /** Packs of this backup. */
  get own(): number {
    return this.#own;
  }

  get others(): number {
    return this.#others.size;
  }

  /** A pack of this backup that is begun; its line follows. */
  begin(): { readonly index: number; readonly number: number } {
    this.#own += 1;
    return { index: this.#lines.push(undefined) - 1, number: this.#own };
  }

  /** No frame is added to that pack any more. */
  close(index: number, line: PackLine): void {
    this.#lines[index] = line;
  }

  /** The index of a pack of another backup. */
  other({ key, line }: OtherPack): number {
    const known = this.#others.get(key);
    if (known !== undefined) return known;
    const epoch = line.epoch === this.#epoch ? 0 : line.epoch;
    const index = this.#lines.push({ ...line, epoch }) - 1;
    this.#others.set(key, index);
    return index;
  }

  /** Counts bytes of files that lie in a pack. */
  use(index: number, liveBytes: number): void {
    this.#live[index] = (this.#live[index] ?? 0) + liveBytes;
  }

  /** The table as the manifest has it, once every pack is closed. */
  lines(): PackLine[] {
    return this.#lines.flatMap((line, index) =>
      line === undefined ? [] : [{ ...line, liveBytes: this.#live[index] ?? 0 }],
    );
  }
}
