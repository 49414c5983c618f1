/** What the tombstones must say for a plan. Pure. @packageDocumentation */
import type { Tombstone, TombstoneState, WalTombstone } from '@keyframe/repository';
import { nameOf } from './facts.ts';
import type { ExpiryPlan, GoingLabel } from './plan-expiry.ts';
import { difference, intersection, type NumberRange } from './segment-ranges.ts';
import type { WalGoing } from './wal-going.ts';

/** When what is marked now is marked, and in which object. */
export interface Marking {
  readonly markedAt: string;
  /** Number of the tombstone object that is about to be written. */
  readonly since: number;
  /** False for an object whose age the store cannot tell any more: what stood in it is marked anew. */
  readonly isKnown: (since: number) => boolean;
  /** True for what was removed so long ago that nothing can bring it back. */
  readonly isForgotten: (entry: Tombstone) => boolean;
}

/**
 * Marks what goes and is not marked yet, and takes the mark from what no longer goes. What is decided for good stays. What
 * was marked keeps its time.
 */
export function nextTombstones(state: TombstoneState, plan: ExpiryPlan, marking: Marking): TombstoneState {
  const marked = state.backups.filter(({ phase, since }) => phase === 'marked' && marking.isKnown(since));
  const decided = state.backups.filter((each) => each.phase !== 'marked' && !marking.isForgotten(each));
  const next = plan.goes.flatMap((going) => entriesOf(going, marked, decided, marking));
  return { backups: [...decided, ...next], wal: nextWal(state.wal, plan.wal, marking) };
}

function entriesOf(
  going: GoingLabel,
  marked: readonly Tombstone[],
  decided: readonly Tombstone[],
  { markedAt, since }: Marking,
): Tombstone[] {
  const isOf = (each: Tombstone): boolean => nameOf(each) === nameOf(going);
  const decidedPacks = new Set(decided.filter(isOf).flatMap(({ packs }) => packs));
  const free = going.packs.filter((number) => !decidedPacks.has(number));
  const wanted = new Set(free);
  const kept = marked
    .filter((each) => isOf(each) && (each.kind === 'packs' || each.kind === going.kind))
    .map((each) => withPacks(each, (number) => wanted.delete(number)))
    .filter(({ kind, packs }) => kind !== 'packs' || packs.length > 0);
  const isSaid =
    going.kind === 'packs' ||
    kept.some(({ kind }) => kind === going.kind) ||
    decided.some((each) => isOf(each) && each.kind !== 'packs');
  const { epoch, label, reason } = going;
  const packs = free.filter((number) => wanted.has(number));
  if (isSaid && packs.length === 0) return kept;
  const kind = isSaid ? 'packs' : going.kind;
  return [...kept, { epoch, label, kind, packs, phase: 'marked', markedAt, since, reason }];
}

function nextWal(
  before: readonly WalTombstone[],
  going: readonly WalGoing[],
  { markedAt, since, isKnown }: Marking,
): WalTombstone[] {
  return going.flatMap(({ epoch, timeline, first, last }) => {
    const known = before.filter((each) => each.epoch === epoch && each.timeline === timeline && isKnown(each.since));
    const place = { epoch, timeline, first, last, markedAt, since };
    const kept = known.flatMap((each) =>
      intersection([each], [{ first, last }]).map((range) => withRange(each, range)),
    );
    const fresh = difference([{ first, last }], kept).map((range) => withRange(place, range));
    return [...kept, ...fresh];
  });
}

/** The same with those of its packs for which `isOf` holds. */
export function withPacks(entry: Tombstone, isOf: (number: number) => boolean): Tombstone {
  return { ...entry, packs: entry.packs.filter(isOf) };
}

/** The same for another range. */
export function withRange<Entry extends NumberRange>(entry: Entry, { first, last }: NumberRange): Entry {
  return { ...entry, first, last };
}

/** Whether two states say the same. */
export function isSameState(one: TombstoneState, other: TombstoneState): boolean {
  const text = ({ backups, wal }: TombstoneState): string =>
    JSON.stringify([
      backups.map((each) => JSON.stringify(each)).toSorted(),
      wal.map((each) => JSON.stringify(each)).toSorted(),
    ]);
  return text(one) === text(other);
}
