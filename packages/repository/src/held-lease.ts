import { randomUUID } from 'node:crypto';
import { hasCode, isKeyframeError, KeyframeError, type Store } from '@keyframe/contracts';
import { bytesOf, drain } from '@keyframe/contracts/streams';
import { readHolder } from './backup/record-json.ts';
import { openSealedJson, sealJson } from './format/sealed-json.ts';
import { leasePrefix } from './keys.ts';
import type { Lease, LeaseHolder, LeaseOptions } from './lease.ts';
import { createOnly } from './objects/put-once.ts';
import { readSealed } from './objects/with-copies.ts';

const DEFAULT_SKEW_MS = 30_000;
/** Attempts when others take and drop the lease at the same moment. */
const TRIES = 5;
/** Listings in a row whose highest object is gone when it is read, before the store is taken to be wrong. */
const READ_TRIES = 20;

/** One object of a lease: the highest number is the one that counts. */
interface LeaseState {
  readonly number: number;
  readonly holder: LeaseHolder;
  readonly acquiredAt: string;
  readonly expiresAt: string;
  readonly released: boolean;
}

export interface LeasePlace {
  readonly store: Store;
  readonly now: () => Date;
}

/**
 * A lease made of numbered objects that are only ever created, so it needs no store that can replace.
 * After each creation the numbers are listed again: a slow process may create one that was taken and removed since.
 */
export class HeldLease implements Lease {
  readonly name: string;
  readonly holder: LeaseHolder;
  readonly #place: LeasePlace;
  readonly #options: LeaseOptions;
  readonly #token = randomUUID();
  readonly #lost = new AbortController();
  readonly #acquiredAt: string;
  #number = 0;
  #timer: NodeJS.Timeout | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #renewing: Promise<void> | undefined;
  #released = false;

  private constructor(place: LeasePlace, name: string, holder: LeaseHolder, options: LeaseOptions) {
    this.name = name;
    this.holder = holder;
    this.#place = place;
    this.#options = options;
    this.#acquiredAt = place.now().toISOString();
  }

  /** @throws {KeyframeError} LOCKED */
  static async acquire(place: LeasePlace, name: string, holder: LeaseHolder, options: LeaseOptions): Promise<Lease> {
    const lease = new HeldLease(place, name, holder, options);
    for (let tried = 0; tried < TRIES; tried += 1) {
      const current = await readState(place.store, name, options.signal);
      if (current !== undefined && !(await isFree(current, place.now(), holder, options))) throw locked(name, current);
      if (await lease.#create((current?.number ?? 0) + 1, false, options.signal)) {
        lease.#schedule();
        return lease;
      }
    }
    const current = await readState(place.store, name, options.signal);
    throw current === undefined ? unavailable(name) : locked(name, current);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async renew(): Promise<void> {
    this.lost.throwIfAborted();
    if (this.#released) return;
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    await this.#renewing;
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#deadline);
    await this.#renewing?.catch(() => undefined); // a lease that is lost needs no release
    if (!this.lost.aborted) await this.#create(this.#number + 1, true, undefined);
  }

  async #renew(): Promise<void> {
    if (await this.#create(this.#number + 1, false, undefined)) return;
    const current = await readState(this.#place.store, this.name, undefined);
    const reason = current === undefined ? unavailable(this.name) : locked(this.name, current);
    this.#lost.abort(reason);
    throw reason;
  }

  /** Creates the next object; true when it is the highest afterwards. */
  async #create(number: number, released: boolean, signal: AbortSignal | undefined): Promise<boolean> {
    const { store, now } = this.#place;
    const expires = now().getTime() + this.#options.ttlMs;
    const content = sealJson({
      holder: { ...this.holder },
      token: this.#token,
      acquiredAt: this.#acquiredAt,
      expiresAt: new Date(expires).toISOString(),
      released,
    });
    const key = keyOf(this.name, number);
    if (!(await createOnly(store, key, bytesOf(content), signal))) return false;
    // Where the store lets a second writer replace the first, the last of them is who holds it.
    if (store.capabilities.conditionalPut !== true && !(await holdsStill(store, key, content, signal))) return false;
    const numbers = await listNumbers(store, this.name, signal);
    if (numbers.some((other) => other > number)) {
      await remove(store, this.name, [number]);
      return false;
    }
    this.#number = number;
    this.#watch(expires - now().getTime(), released);
    await remove(
      store,
      this.name,
      numbers.filter((other) => other < number),
    );
    return true;
  }

  /** Past its time the lease may be someone else's, whatever a renewal that hangs would still bring. */
  #watch(leftMs: number, released: boolean): void {
    clearTimeout(this.#deadline);
    if (released || this.#released) return;
    this.#deadline = setTimeout(() => this.#lost.abort(notRenewed(this.name)), Math.max(0, leftMs));
    this.#deadline.unref();
  }

  #schedule(): void {
    if (this.#released || this.lost.aborted) return;
    this.#timer = setTimeout(() => void this.#tick(), this.#options.ttlMs / 3);
    this.#timer.unref();
  }

  async #tick(): Promise<void> {
    try {
      await this.renew();
    } catch (error) {
      if (!isKeyframeError(error)) this.#lost.abort(error); // one failed renewal is survived, a defect is not
    }
    this.#schedule();
  }
}

async function holdsStill(
  store: Store,
  key: string,
  content: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    return Buffer.compare(await drain(await store.get(key, { signal })), content) === 0;
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND')) throw error;
    return false;
  }
}

function keyOf(name: string, number: number): string {
  return leasePrefix(name) + String(number).padStart(10, '0');
}

async function listNumbers(store: Store, name: string, signal: AbortSignal | undefined): Promise<number[]> {
  const numbers: number[] = [];
  for await (const { key } of store.list(leasePrefix(name), { signal })) {
    const digits = key.slice(leasePrefix(name).length);
    if (/^\d{10}$/u.test(digits)) numbers.push(Number(digits));
  }
  return numbers;
}

/** The state that counts now; undefined when the lease was never taken. */
async function readState(store: Store, name: string, signal: AbortSignal | undefined): Promise<LeaseState | undefined> {
  for (let tried = 0; tried < READ_TRIES; tried += 1) {
    const numbers = await listNumbers(store, name, signal);
    if (numbers.length === 0) return undefined;
    const number = Math.max(...numbers);
    const key = keyOf(name, number);
    try {
      const fields = openSealedJson(await readSealed(store, key, signal), key);
      return {
        number,
        holder: readHolder(fields.object('holder')),
        acquiredAt: fields.text('acquiredAt'),
        expiresAt: fields.text('expiresAt'),
        released: fields.boolean('released'),
      };
    } catch (error) {
      if (!hasCode(error, 'NOT_FOUND')) throw error; // it was renewed, and its old object removed, since the listing
    }
  }
  throw unavailable(name);
}

async function isFree(state: LeaseState, now: Date, self: LeaseHolder, options: LeaseOptions): Promise<boolean> {
  if (state.released) return true;
  const skewMs = options.clockSkewMs ?? DEFAULT_SKEW_MS;
  if (now.getTime() > Date.parse(state.expiresAt) + skewMs) return true;
  const { holder } = state;
  if (holder.host !== self.host || holder.bootId !== self.bootId) return false;
  return (await options.isHolderAlive?.(holder)) === false;
}

/** Old numbers are only litter: a store that keeps them, by lock or by right, changes nothing. */
async function remove(store: Store, name: string, numbers: readonly number[]): Promise<void> {
  if (numbers.length === 0) return;
  try {
    await store.delete(numbers.map((number) => keyOf(name, number)));
  } catch (error) {
    if (!hasCode(error, 'ACCESS_DENIED', 'UNAVAILABLE', 'UNSUPPORTED')) throw error;
  }
}

function locked(name: string, { holder, acquiredAt, expiresAt }: LeaseState): KeyframeError {
  const who = `${JSON.stringify(holder.command)} on ${holder.host} (process ${holder.pid})`;
  return new KeyframeError('LOCKED', `${who} holds the lease ${name} since ${acquiredAt}`, {
    hint: `Wait for it, or end process ${holder.pid} on ${holder.host} and repeat the command after ${expiresAt}.`,
    details: { lease: name, host: holder.host, pid: holder.pid, command: holder.command, acquiredAt, expiresAt },
  });
}

function notRenewed(name: string): KeyframeError {
  return new KeyframeError('LOCKED', `the lease ${name} could not be renewed in time`, {
    hint: 'Check that the repository can be reached with `keyframe doctor`, then repeat the command.',
    details: { lease: name },
  });
}

function unavailable(name: string): KeyframeError {
  return new KeyframeError('LOCKED', `the lease ${name} is taken by others again and again`, {
    hint: 'Repeat the command when fewer of them run at the same time.',
    details: { lease: name },
  });
}
