/** Reads from the nearest store that has the object. @packageDocumentation */
import { type ByteStream, type GetOptions, hasCode, KeyframeError, type ObjectInfo } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { isDecision, readDecided } from './decided-read.ts';
import { byNearness, faultOf, type Member, tooFew } from './member.ts';
import type { Mirror } from './mirror.ts';
import { within } from './waiting.ts';

/** A store that has not answered after this long gets a competitor, milliseconds. */
const HEDGE_MS = 1_000;
/** When the stores that answered suffice, the silent ones may take this much longer, milliseconds. */
const GRACE_MS = 1_000;

/** What came of asking store after store. */
interface Search<T> {
  readonly found: { readonly member: Member; readonly value: T } | undefined;
  readonly absent: readonly Member[];
  readonly faults: ReadonlyMap<Member, unknown>;
}

/**
 * Opens an object. A body that breaks off goes on from another store's copy at the same byte.
 * @throws {KeyframeError} NOT_FOUND, ACCESS_DENIED, UNAVAILABLE
 */
export async function getObject(mirror: Mirror, key: string, options: GetOptions): Promise<ByteStream> {
  const { signal } = options;
  if (options.range === undefined && isDecision(key) && !mirror.isPinned(key)) {
    const decided = await readDecided(mirror, key, signal);
    if (decided.bytes === undefined) await proveAbsence(mirror, key, decided);
    else {
      if (decided.absent.length > 0) await mirror.owe(decided.absent, 'copy', [key]);
      if (decided.differing.length > 0) await mirror.owe(decided.differing, 'repair', [key]);
      return bytesOf(decided.bytes).open();
    }
    throw new KeyframeError('NOT_FOUND', `object '${key}' not found`, { details: { key } });
  }
  const candidates = byNearness(mirror.readable(key));
  const search = await askInTurn(mirror, candidates, options.signal, (member, own) =>
    member.use((store) => store.get(key, { ...options, signal: own })),
  );
  signal?.throwIfAborted();
  if (search.found !== undefined) {
    if (search.absent.length > 0) await mirror.owe(search.absent, 'copy', [key]);
    const others = candidates.filter((member) => member !== search.found?.member && !search.absent.includes(member));
    return continued(search.found, { key, options, others });
  }
  await proveAbsence(mirror, key, search);
  throw new KeyframeError('NOT_FOUND', `object '${key}' not found`, { details: { key } });
}

/** Metadata, or `undefined` when no store has it that could. */
export async function statObject(
  mirror: Mirror,
  key: string,
  signal: AbortSignal | undefined,
): Promise<ObjectInfo | undefined> {
  const absent: Member[] = [];
  const faults = new Map<Member, unknown>();
  const found = Promise.withResolvers<ObjectInfo | undefined>();
  const asked = mirror.readable(key);
  const all = Promise.all(
    asked.map(async (member) => {
      try {
        const info = await member.use((store) => store.stat(key, { signal }));
        if (info === undefined) absent.push(member);
        else found.resolve({ key, sizeBytes: info.sizeBytes, modifiedAt: info.modifiedAt });
      } catch (error) {
        if (hasCode(error, 'INVALID_OPTION') || signal?.aborted === true) found.reject(signal?.reason ?? error);
        faults.set(member, error);
      }
    }),
  );
  const answered = async (): Promise<undefined> => {
    for (;;) {
      const done = await within(GRACE_MS, all);
      if (done || !mirror.couldHide(asked.filter((member) => !absent.includes(member)))) return undefined;
    }
  };
  const info = await Promise.race([found.promise, answered()]);
  signal?.throwIfAborted();
  if (info === undefined) await proveAbsence(mirror, key, { absent, faults });
  return info;
}

/**
 * An object is absent only where it could be on no store that did not answer, and where each store that says so is still the
 * one of this repository.
 */
async function proveAbsence(
  mirror: Mirror,
  key: string,
  { absent, faults }: Pick<Search<unknown>, 'absent' | 'faults'>,
): Promise<void> {
  const silent = new Map(faults);
  await Promise.all(
    absent.map(async (member) => {
      try {
        await mirror.membership.confirm(member);
      } catch (error) {
        member.note(error);
        silent.set(member, error);
      }
    }),
  );
  const held = new Set(absent.filter((member) => !silent.has(member)));
  const unanswered = mirror.readable(key).filter((member) => !held.has(member));
  if (unanswered.length === 0 || !mirror.couldHide(unanswered)) return;
  throw tooFew(`whether ${key} exists cannot be told`, silent);
}

/** Asks one store after the other; one that takes long gets a competitor. */
async function askInTurn<T>(
  mirror: Mirror,
  candidates: readonly Member[],
  signal: AbortSignal | undefined,
  ask: (member: Member, signal: AbortSignal) => Promise<T>,
): Promise<Search<T>> {
  const absent: Member[] = [];
  const faults = new Map<Member, unknown>();
  const running = new Map<Member, { readonly stop: AbortController; readonly answer: Promise<void> }>();
  let found: Search<T>['found'];
  const start = (member: Member): void => {
    const stop = new AbortController();
    const own = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
    const answer = ask(member, own).then(
      // oxlint-disable-next-line promise/always-return -- what came of it is noted
      (value): void => {
        if (found === undefined && !stop.signal.aborted) found = { member, value };
        else void release(value);
        running.delete(member);
      },
      (error: unknown) => {
        if (hasCode(error, 'NOT_FOUND')) absent.push(member);
        else faults.set(member, error);
        running.delete(member);
      },
    );
    running.set(member, { stop, answer });
  };
  const waiting = [...candidates];
  for (;;) {
    const next = waiting.shift();
    if (next !== undefined) start(next);
    const answers = [...running.values()].map(({ answer }) => answer);
    if (answers.length === 0) break;
    const answered = await within(waiting.length > 0 ? HEDGE_MS : GRACE_MS, Promise.race(answers));
    signal?.throwIfAborted();
    const illegal = [...faults.values()].find((error) => hasCode(error, 'INVALID_OPTION'));
    if (illegal !== undefined) throw illegal;
    if (found !== undefined) break;
    if (!answered && waiting.length === 0 && absent.length > 0 && !mirror.couldHide(running.keys())) break;
  }
  for (const [member, { stop }] of running) {
    stop.abort(new DOMException('another store was faster', 'AbortError'));
    if (found === undefined) faults.set(member, new KeyframeError('UNAVAILABLE', `${member.name} does not answer`));
  }
  return { found, absent: [...absent], faults: new Map(faults) };
}

/** A stream that nobody will read is read a little, which releases what it holds. */
async function release(value: unknown): Promise<void> {
  if (typeof value !== 'object' || value === null || !(Symbol.asyncIterator in value)) return;
  try {
    for await (const _ of value as ByteStream) break;
  } catch (error) {
    faultOf(error); // its fault concerns nobody
  }
}

async function* continued(
  { member: first, value }: { readonly member: Member; readonly value: ByteStream },
  { key, options, others }: { readonly key: string; readonly options: GetOptions; readonly others: readonly Member[] },
): AsyncGenerator<Uint8Array> {
  const { signal, range } = options;
  const left = [...others];
  let at = range?.start ?? 0;
  let member = first;
  for (let stream = value; ;) {
    try {
      for await (const chunk of stream) {
        at += chunk.length;
        yield chunk;
      }
      return;
    } catch (error) {
      signal?.throwIfAborted();
      member.note(error);
      const next = left.shift();
      if (next === undefined || !hasCode(error, 'UNAVAILABLE', 'NOT_FOUND', 'CORRUPT', 'ACCESS_DENIED')) throw error;
      member = next;
      stream = await reopen(next, key, options, at, error);
    }
  }
}

async function reopen(
  member: Member,
  key: string,
  options: GetOptions,
  start: number,
  broken: unknown,
): Promise<ByteStream> {
  const end = options.range?.end;
  const range = end === undefined ? { start } : { start, end };
  try {
    return await member.use((store) => store.get(key, { ...options, range }));
  } catch (error) {
    options.signal?.throwIfAborted();
    throw hasCode(error, 'NOT_FOUND') ? broken : error;
  }
}
