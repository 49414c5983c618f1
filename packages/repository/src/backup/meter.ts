import { KeyframeError } from '@keyframe/contracts';
import type { BaseMap } from './base-map.ts';
import type { NewFile } from './writer.ts';

/** Refuses content that is not as long as was announced. */
export class Meter {
  readonly #file: NewFile;
  done = 0;
  #ended = false;

  constructor(file: NewFile) {
    this.#file = file;
  }

  /** Checks that so many bytes may come, without counting them. */
  allow(count: number): void {
    if (this.#ended || this.done + count > this.#file.sizeBytes) throw this.#fault(this.done + count);
  }

  /** Checks that so many bytes may be taken from a base. */
  allowKept(count: number, view: Uint8Array | undefined, base: BaseMap | undefined): asserts base is BaseMap {
    this.allow(count);
    const { path } = this.#file;
    if (base === undefined || this.done + count > base.sizeBytes)
      throw new KeyframeError('INTERNAL', `the base does not have ${this.done + count} bytes of ${path}`);
    if (view !== undefined && view.length !== count)
      throw new KeyframeError('INTERNAL', `${view.length} bytes came for ${path}, ${count} are to be kept`);
  }

  end(): void {
    if (this.#ended || this.done !== this.#file.sizeBytes) throw this.#fault(this.done);
    this.#ended = true;
  }

  #fault(count: number): KeyframeError {
    const { path, sizeBytes } = this.#file;
    return new KeyframeError('INTERNAL', `${count} bytes came for ${path}, announced were ${sizeBytes}`);
  }
}

const ZEROS = Buffer.alloc(256 << 10);

/** Stops at the first byte that is not zero, so it costs next to nothing for content. */
export function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const part = bytes.subarray(at, at + ZEROS.length);
    if (!part.equals(ZEROS.subarray(0, part.length))) return false;
  }
  return true;
}

/** Ranges in ascending order, joined where they touch. */
export class Ranges {
  readonly #bounds: number[] = [];
  #total = 0;

  get totalBytes(): number {
    return this.#total;
  }

  add(start: number, end: number): void {
    this.#total += end - start;
    if (this.#bounds.at(-1) === start) this.#bounds[this.#bounds.length - 1] = end;
    else this.#bounds.push(start, end);
  }

  clear(): void {
    this.#bounds.length = 0;
    this.#total = 0;
  }

  *[Symbol.iterator](): Generator<readonly [number, number]> {
    for (let at = 0; at < this.#bounds.length; at += 2) yield [this.#bounds[at] ?? 0, this.#bounds[at + 1] ?? 0];
  }
}
