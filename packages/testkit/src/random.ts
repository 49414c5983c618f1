/** Reproducible randomness: the same seed gives the same sequence, whatever the platform. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed >>> 0;
    this.#state = this.seed;
  }

  /** A number from 0 up to, not including, 1. Mulberry32. */
  fraction(): number {
    this.#state = (this.#state + 0x6d_2b_79_f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.fraction() * (high - low + 1));
  }

  /** True in that share of calls. */
  chance(share: number): boolean {
    return this.fraction() < share;
  }

  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.between(0, items.length - 1)];
    if (item === undefined) throw new RangeError('nothing to pick from');
    return item;
  }

  /** A generator of its own, so that one consumer's calls do not shift another's. */
  fork(): Random {
    return new Random(this.between(0, 0xff_ff_ff_ff));
  }
}

/**
 * The seed of a test: `KEYFRAME_SEED` when set, else a new one. Written to standard error, so that a failure can be
 * repeated.
 */
export function announcedSeed(title: string): number {
  const wanted = process.env['KEYFRAME_SEED'];
  const seed = wanted === undefined || wanted === '' ? Math.floor(Math.random() * 2 ** 32) : Number(wanted) >>> 0;
  process.stderr.write(`${title}: KEYFRAME_SEED=${seed}\n`);
  return seed;
}
