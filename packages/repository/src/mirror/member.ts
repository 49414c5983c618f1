import { hasCode, isKeyframeError, KeyframeError, type Store } from '@keyframe/contracts';

/** A store with the name that the config file gives it. Its faults are tried again already. */
export interface NamedStore {
  readonly name: string;
  readonly store: Store;
}

/** How fast a new measurement takes the place of older ones. */
const SMOOTHING = 0.3;
/** A store that just failed, after all its retries, is not asked again for this long, milliseconds. */
const COOL_DOWN_MS = 5_000;

/** One store of a mirrored repository, with what this process has seen of it. */
export class Member {
  readonly name: string;
  readonly store: Store;
  /** The operator goes on without it: it is never asked, and still counts among all. */
  readonly excluded: boolean;
  /** Smoothed time of an answer in milliseconds; 0 until one was measured. */
  latencyMs = 0;
  /** It is fed from other copies until its journal is empty. */
  behind = false;
  #fault: { readonly error: KeyframeError; readonly at: number } | undefined;
  readonly #admit: (member: Member) => Promise<void>;

  constructor(named: NamedStore, excluded: boolean, admit: (member: Member) => Promise<void>) {
    this.name = named.name;
    this.store = named.store;
    this.excluded = excluded;
    this.#admit = admit;
  }

  /** The last thing that went wrong; `undefined` once it answered again. */
  get fault(): KeyframeError | undefined {
    return this.#fault?.error;
  }

  /** Runs an operation on the store, once it has shown that it belongs to the repository. */
  async use<T>(operation: (store: Store) => Promise<T>): Promise<T> {
    if (this.excluded) throw excludedStore(this.name);
    const failed = this.#fault;
    if (
      failed !== undefined &&
      hasCode(failed.error, 'UNAVAILABLE', 'REPOSITORY_MISSING') &&
      performance.now() - failed.at < COOL_DOWN_MS
    )
      throw failed.error;
    try {
      await this.#admit(this);
      const started = performance.now();
      const result = await operation(this.store);
      this.#answered(performance.now() - started);
      return result;
    } catch (error) {
      this.#failed(error);
      throw error;
    }
  }

  /** It may be asked again at once: somebody looked. */
  forgive(): void {
    this.#fault = undefined;
  }

  /** Notes what an operation on `store` ended with that did not go through {@link use}. */
  note(error: unknown): void {
    this.#failed(error);
  }

  #answered(milliseconds: number): void {
    this.latencyMs = this.latencyMs === 0 ? milliseconds : this.latencyMs + (milliseconds - this.latencyMs) * SMOOTHING;
    this.#fault = undefined;
  }

  #failed(error: unknown): void {
    const about = hasCode(error, 'UNAVAILABLE', 'ACCESS_DENIED', 'UNSUPPORTED', 'REPOSITORY_MISSING', 'CONFLICT');
    if (about) this.#fault = { error, at: performance.now() };
  }
}

/** Nearest first; a store that failed or does not keep up is asked last. */
export function byNearness(members: readonly Member[]): Member[] {
  const rank = (member: Member): number => (member.fault !== undefined ? 2 : member.behind ? 1 : 0);
  return members.toSorted((one, other) => rank(one) - rank(other) || one.latencyMs - other.latencyMs);
}

export function namesOf(members: Iterable<Member>): string[] {
  return [...members].map(({ name }) => name);
}

/** What stands for anything that a store raised, a bug of its adapter included. */
export function faultOf(error: unknown): KeyframeError {
  if (isKeyframeError(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new KeyframeError('UNAVAILABLE', message, { cause: error });
}

/** Too few stores gave an answer on which to build. */
export function tooFew(what: string, faults: ReadonlyMap<Member, unknown>): KeyframeError {
  const told = [...faults].map(([{ name }, error]) => `${name}: ${faultOf(error).message}`);
  return new KeyframeError('UNAVAILABLE', `${what}${told.length === 0 ? '' : ` (${told.join('; ')})`}`, {
    cause: faults.values().next().value,
    hint: 'Run `keyframe repository status` to see which store fails, and bring it back, or go on with `--without-store` where the command has it.',
    details: { stores: namesOf(faults.keys()).join(', ') },
  });
}

function excludedStore(name: string): KeyframeError {
  return new KeyframeError('UNAVAILABLE', `the store ${name} was left out`, {
    hint: 'Leave --without-store out to use it.',
    details: { store: name },
  });
}
