import { randomUUID } from 'node:crypto';
import { hasCode, isKeyframeError, KeyframeError, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { type Fields, type Json, openSealedJson, sealJson } from '../format/sealed-json.ts';
import { createOnly } from '../objects/put-once.ts';
import { readSealed } from '../objects/with-copies.ts';

const DIGITS = /^\d{10}$/u;
/** Keys in one request: what S3 takes at once. */
const TRIMMED_AT_ONCE = 1000;

/** How a state becomes JSON and back. */
export interface StateForm<State> {
  /** What holds before anything was written. */
  readonly empty: State;
  encode(state: State): Readonly<Record<string, Json | undefined>>;
  decode(fields: Fields, key: string): State;
}

/** A state, and the number of the object that holds it: 0 when none was written yet. */
export interface Numbered<State> {
  readonly number: number;
  readonly state: State;
}

/**
 * A small state that many may change, of numbered objects that are only ever created: each holds the whole state, the highest
 * number wins. Whoever wants to change it creates the number after the one he read; of two, one finds it taken.
 */
export class NumberedState<State> {
  readonly #store: Store;
  readonly #prefix: string;
  readonly #form: StateForm<State>;

  /** `prefix` ends in `/`. */
  constructor(store: Store, prefix: string, form: StateForm<State>) {
    this.#store = store;
    this.#prefix = prefix;
    this.#form = form;
  }

  /** @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
  async read(signal: AbortSignal | undefined): Promise<Numbered<State>> {
    for (let number = await this.newest(signal); ;) {
      if (number === 0) return { number, state: this.#form.empty };
      const key = this.#key(number);
      try {
        const bytes = await readSealed(this.#store, key, signal);
        return { number, state: this.#form.decode(openSealedJson(bytes, key), key) };
      } catch (error) {
        if (!hasCode(error, 'NOT_FOUND')) throw error;
        // Superseded and trimmed since the listing: then there is a higher one.
        const higher = await this.newest(signal);
        if (higher <= number) throw listedAndGone(key, error);
        number = higher;
      }
    }
  }

  /** The highest number, whether or not what it holds can be read; 0 when there is none. */
  async newest(signal: AbortSignal | undefined): Promise<number> {
    return (await this.#numbers(signal)).at(-1) ?? 0;
  }

  /**
   * Removes what was superseded, but the last `keep` and the numbers for which `isNeeded` holds. The highest is never
   * removed, so no state is lost, and none before it counts again. Who reads one while it goes reads the highest instead;
   * who follows one that went is refused as before. What cannot be removed stays.
   */
  async trim(
    { keep, isNeeded = () => false }: { readonly keep: number; readonly isNeeded?: (number: number) => boolean },
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const superseded = (await this.#numbers(signal)).slice(0, -Math.max(keep, 1)).filter((number) => !isNeeded(number));
    if (superseded.length === 0) return;
    try {
      await this.#store.delete(
        superseded.slice(0, TRIMMED_AT_ONCE).map((number) => this.#key(number)),
        { signal },
      );
    } catch (error) {
      if (!isKeyframeError(error)) throw error;
    }
  }

  /**
   * Writes the state that follows the one of that number. False: somebody else did meanwhile, nothing was changed.
   * An object that a slow writer creates below the highest number counts for nothing.
   */
  async follow(number: number, state: State, signal: AbortSignal | undefined): Promise<boolean> {
    const next = number + 1;
    // Two writers of equal states must not both find their own bytes.
    const content = sealJson({ ...this.#form.encode(state), token: randomUUID() });
    if (!(await createOnly(this.#store, this.#key(next), bytesOf(content), signal))) return false;
    return (await this.newest(signal)) === next;
  }

  /** Every state that is still there, the newest first; what cannot be read of them is told as a fault. */
  async *history(signal: AbortSignal | undefined): AsyncGenerator<Numbered<State> | KeyframeError> {
    for (const number of (await this.#numbers(signal)).toReversed()) {
      const key = this.#key(number);
      try {
        const bytes = await readSealed(this.#store, key, signal);
        yield { number, state: this.#form.decode(openSealedJson(bytes, key), key) };
      } catch (error) {
        if (hasCode(error, 'NOT_FOUND')) continue; // trimmed since it was listed
        if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
        yield error;
      }
    }
  }

  /** When, by the store's clock, the object of that number was written; undefined once it is gone. */
  async writtenAt(number: number, signal: AbortSignal | undefined): Promise<Date | undefined> {
    return (await this.#store.stat(this.#key(number), { signal }))?.modifiedAt;
  }

  #key(number: number): string {
    return this.#prefix + String(number).padStart(10, '0');
  }

  /** Ascending. */
  async #numbers(signal: AbortSignal | undefined): Promise<number[]> {
    const numbers: number[] = [];
    for await (const { key } of this.#store.list(this.#prefix, { signal })) {
      const digits = key.slice(this.#prefix.length);
      if (DIGITS.test(digits)) numbers.push(Number(digits));
    }
    return numbers.toSorted((one, other) => one - other);
  }
}

function listedAndGone(key: string, cause: unknown): KeyframeError {
  return new KeyframeError('CORRUPT', `the object ${key} was listed and is gone`, {
    cause,
    hint: 'Run the command again; when it stays so, check what else deletes objects of this repository.',
    details: { key },
  });
}
