/** Checks a store in use, inside a prefix of its own. @packageDocumentation */
import { hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import { textOf } from '@keyframe/contracts/streams';
import type { ContractCase } from '../contract.ts';
import { storeCases } from '../store/cases.ts';
import { emptied } from '../store/scope.ts';
import { factsOf, type StoreFact } from './facts.ts';
import { measure, type Measurements } from './measure.ts';
import { within } from './within.ts';

/** How one case ended. */
export interface CaseResult {
  readonly name: string;
  readonly status: 'passed' | 'failed' | 'skipped';
  /** Why it was skipped or what it found. */
  readonly reason: string | undefined;
  readonly durationMs: number;
}

/** What the check found. */
export interface StoreReport {
  /** `broken`: a case failed, or the store cannot do what it says. `limited`: it does, and Keyframe has to do with less. */
  readonly verdict: 'good' | 'limited' | 'broken';
  /** Where it wrote. */
  readonly prefix: string;
  readonly cases: readonly CaseResult[];
  readonly facts: readonly StoreFact[];
  /** Absent when measuring failed; `measureFault` says why. */
  readonly measured: Measurements | undefined;
  readonly measureFault: string | undefined;
}

/** What to check, and where. */
export interface CheckStoreOptions {
  /** A fresh adapter; each is closed. */
  readonly make: () => Store;
  /** Keys that the check may use begin with this; it ends in `/`. Default `keyframe-check/`. */
  readonly prefix?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Default: {@link storeCases}. */
  readonly cases?: readonly ContractCase<Store>[] | undefined;
  /** What comes next, and how much of all is done, from 0 to 1. */
  readonly onStep?: ((what: string, done: number) => void) | undefined;
}

/** A clock that is off by more than this makes signatures and locks fail. */
const CLOCK_LIMIT_MS = 5_000;
/** What every repository rests on. */
const FOUNDATION: ReadonlySet<string> = new Set(['conditional-put', 'range-read', 'consistency', 'object-size']);
/** Longer takes no case, of however slow a store; one that hangs would hang the check. */
const CASE_LIMIT_MS = 300_000;
const HOUR_MS = 3_600_000;

/**
 * Runs the contract cases and takes figures under a fresh name below the prefix, and removes everything that it wrote, also
 * after a fault or an abort. What a check that was killed has left is removed by the next one, an hour later at the earliest.
 * @throws {KeyframeError} UNSUPPORTED where the bucket itself locks every object: then nothing could be removed
 */
export async function checkStore(options: CheckStoreOptions): Promise<StoreReport> {
  const { make, prefix = 'keyframe-check/', signal, onStep = () => undefined } = options;
  const cleaner = make();
  const own = `${prefix}${new Date().toISOString().replaceAll(/\D/g, '')}-${crypto.randomUUID().slice(0, 8)}/`;
  const ended = signal ?? new AbortController().signal;
  try {
    await assertRemovable(cleaner, own, ended);
    await removeAbandoned(cleaner, prefix, ended);
    const cases = options.cases ?? storeCases;
    const results: CaseResult[] = [];
    for (const [index, each] of cases.entries()) {
      ended.throwIfAborted();
      onStep(each.name, index / (cases.length + 8));
      results.push(await tried(each, () => within(make(), own, ended)));
    }
    const store = within(cleaner, `${own}measured/`, ended);
    const measured = await outcome(() => measure(store, (what) => onStep(what, cases.length / (cases.length + 8))));
    ended.throwIfAborted();
    const facts = await factsOf(cleaner, measured.value);
    return {
      verdict: verdictOf(results, facts, measured.value),
      prefix: own,
      cases: results,
      facts,
      measured: measured.value,
      measureFault: measured.fault,
    };
  } finally {
    await removed(cleaner, own);
    await cleaner.close?.();
  }
}

/** A case that ends in a fault of the network is tried once more: it is the store that is on trial. */
async function tried(each: ContractCase<Store>, make: () => Store, again = true): Promise<CaseResult> {
  const { name, needs, changes, run } = each;
  const startedAt = performance.now();
  const ending = (status: CaseResult['status'], reason?: string): CaseResult => ({
    name,
    status,
    reason,
    durationMs: Math.round(performance.now() - startedAt),
  });
  if (changes !== undefined) return ending('skipped', `it would change ${changes}`);
  const store = make();
  try {
    if (needs !== undefined && !(await needs.met(store))) return ending('skipped', needs.reason);
    await limited(() => run(store));
    return ending('passed');
  } catch (error) {
    if (again && hasCode(error, 'UNAVAILABLE')) return await tried(each, make, false);
    return ending('failed', error instanceof Error ? error.message : String(error));
  } finally {
    await store.close?.();
  }
}

async function limited(action: () => Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const seconds = CASE_LIMIT_MS / 1_000;
  const timer = setTimeout(() => reject(new Error(`it has not ended after ${seconds} s`)), CASE_LIMIT_MS);
  try {
    await Promise.race([action(), promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function outcome<T>(action: () => Promise<T>): Promise<{ readonly value?: T; readonly fault?: string }> {
  try {
    return { value: await action() };
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) };
  }
}

function verdictOf(
  cases: readonly CaseResult[],
  facts: readonly StoreFact[],
  measured: Measurements | undefined,
): StoreReport['verdict'] {
  if (cases.some(({ status }) => status === 'failed')) return 'broken';
  if (measured === undefined || facts.some(({ verdict }) => verdict === 'wrong')) return 'broken';
  const lacking = facts.some(({ id, verdict }) => FOUNDATION.has(id) && verdict !== 'yes');
  return lacking || Math.abs(measured.clockAheadMs) > CLOCK_LIMIT_MS ? 'limited' : 'good';
}

/** Where a bucket locks whatever is put, the first small object is the only one that stays. */
async function assertRemovable(store: Store, own: string, signal: AbortSignal): Promise<void> {
  if (store.retention === undefined || !(await store.retention.enabled({ signal }))) return;
  const key = `${own}probe`;
  await store.put(key, textOf(''), { signal });
  const until = await store.retention.until(key, { signal });
  if (until === undefined || until.getTime() < Date.now() + 60_000) return;
  throw new KeyframeError('UNSUPPORTED', `the bucket locks every object, ${key} until ${until.toISOString()}`, {
    hint: 'Name a bucket without a default retention for `keyframe check store`: this one would keep what the check writes.',
  });
}

async function removeAbandoned(store: Store, prefix: string, signal: AbortSignal): Promise<void> {
  const old = new Date(Date.now() - HOUR_MS).toISOString().replaceAll(/\D/g, '');
  const runs = new Set<string>();
  for await (const { key } of store.list(prefix, { signal })) {
    const run = /^(\d{17})-[0-9a-f]{8}\//.exec(key.slice(prefix.length));
    if (run?.[1] !== undefined && run[1] < old) runs.add(prefix + run[0]);
  }
  for (const run of runs) await removed(store, run);
}

/** Locks of a case that was interrupted end within seconds. */
async function removed(store: Store, own: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await emptied(store, own);
      return;
    } catch (error) {
      const passing = hasCode(error, 'UNAVAILABLE') || hasCode(error, 'ACCESS_DENIED');
      if (!passing || attempt >= 4) throw error;
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  }
}
