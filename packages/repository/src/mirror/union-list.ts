/** Lists several stores as one. @packageDocumentation */
import { hasCode, type ObjectInfo } from '@keyframe/contracts';
import { type Member, tooFew } from './member.ts';
import type { Mirror } from './mirror.ts';
import { within } from './waiting.ts';

/** When the stores that answered suffice, the silent ones may take this much longer, milliseconds. */
const GRACE_MS = 2_000;

/** One key and the stores that told it at the same time; a store that lists in another order may tell it again later. */
export interface ListedCopies {
  readonly key: string;
  readonly copies: ReadonlyMap<Member, ObjectInfo>;
}

/** Keys taken from a store's listing at a time. */
const BATCH = 256;

interface Course {
  readonly member: Member;
  readonly listing: AsyncIterator<readonly ObjectInfo[]>;
  next: Promise<IteratorResult<readonly ObjectInfo[]>> | undefined;
  batch: readonly ObjectInfo[];
  at: number;
  ended: boolean;
}

/**
 * Merges the listings of all stores. Stores that list in the order of keys, as all of ours do, are merged without memory.
 * @throws {KeyframeError} UNAVAILABLE when too few stores answered for a list that misses nothing acknowledged, unless `enough` says that it is enough
 */
export async function* listCopies(
  mirror: Mirror,
  prefix: string,
  signal: AbortSignal | undefined,
  enough: (lost: readonly Member[]) => boolean = (lost) => lost.length === 0 || !mirror.couldHide(lost),
): AsyncGenerator<ListedCopies> {
  const faults = new Map<Member, unknown>();
  let courses = mirror.asked.map((member): Course => {
    const listing = listed(member, prefix, signal);
    return { member, listing, next: undefined, batch: [], at: 0, ended: false };
  });
  try {
    for (;;) {
      if (courses.some((course) => isEmpty(course)))
        courses = await refill(mirror, courses, { faults, signal, enough });
      const key = leastKey(courses);
      if (key === undefined) return;
      const copies = new Map<Member, ObjectInfo>();
      for (const course of courses) {
        const info = course.batch[course.at];
        if (info?.key !== key) continue;
        course.at += 1;
        if (!mirror.isStale(course.member, key)) copies.set(course.member, info);
      }
      if (copies.size > 0) yield { key, copies };
    }
  } finally {
    for (const { listing, next } of courses) void leave(listing, next);
  }
}

/** Each key once. */
export async function* listUnion(
  mirror: Mirror,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo> {
  const seen = new Set<string>();
  const all = mirror.asked.length;
  for await (const { key, copies } of listCopies(mirror, prefix, signal)) {
    signal?.throwIfAborted();
    const [info] = copies.values();
    if (info === undefined || seen.has(key)) continue;
    if (copies.size < all) seen.add(key);
    yield { key, sizeBytes: info.sizeBytes, modifiedAt: info.modifiedAt };
  }
  signal?.throwIfAborted();
}

function leastKey(courses: readonly Course[]): string | undefined {
  let least: string | undefined;
  for (const { batch, at } of courses) {
    const head = batch[at]?.key;
    if (head !== undefined && (least === undefined || head < least)) least = head;
  }
  return least;
}

const isEmpty = ({ batch, at, ended }: Course): boolean => !ended && at >= batch.length;

async function* listed(
  member: Member,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly ObjectInfo[]> {
  const { iterator, first } = await member.use(async (store) => {
    const listing = store.list(prefix, { signal })[Symbol.asyncIterator]();
    return { iterator: listing, first: await listing.next() };
  });
  let batch: ObjectInfo[] = [];
  try {
    for (let step = first; step.done !== true; step = await iterator.next()) {
      batch.push(step.value);
      if (batch.length < BATCH) continue;
      yield batch;
      batch = [];
    }
  } catch (error) {
    member.note(error);
    throw error;
  } finally {
    await iterator.return?.();
  }
  yield batch;
}

interface Refilling {
  readonly faults: Map<Member, unknown>;
  readonly signal: AbortSignal | undefined;
  readonly enough: (lost: readonly Member[]) => boolean;
}

/** Sees to it that every store that still counts has a next key, or has ended. */
async function refill(
  mirror: Mirror,
  courses: readonly Course[],
  { faults, signal, enough }: Refilling,
): Promise<Course[]> {
  const served = new Set(courses.filter((course) => !isEmpty(course)));
  const all = Promise.all(
    courses.filter(isEmpty).map(async (course) => {
      try {
        await advance(course);
        served.add(course);
      } catch (error) {
        faults.set(course.member, error);
      }
    }),
  );
  const lost = (): Member[] => mirror.asked.filter((member) => ![...served].some((course) => course.member === member));
  while (!(await within(GRACE_MS, all))) if (enough(lost())) break;
  signal?.throwIfAborted();
  const illegal = [...faults.values()].find((error) => hasCode(error, 'INVALID_OPTION'));
  if (illegal !== undefined) throw illegal;
  if (!enough(lost())) throw tooFew('the objects cannot be listed whole', faults);
  return courses.filter((course) => served.has(course));
}

async function advance(course: Course): Promise<void> {
  while (isEmpty(course)) {
    course.next ??= course.listing.next();
    const step = await course.next;
    course.next = undefined;
    course.ended = step.done === true;
    course.batch = step.done === true ? [] : step.value;
    course.at = 0;
  }
}

async function leave(listing: AsyncIterator<unknown>, next: Promise<unknown> | undefined): Promise<void> {
  try {
    await next;
    await listing.return?.();
  } catch (error) {
    if (!(error instanceof Error)) throw error; // what a listing that was left ends with concerns nobody
  }
}
