/** What of the marked things may be removed now. Pure. @packageDocumentation */
import { segmentName } from '@keyframe/contracts';
import type { Removal, Tombstone, WalTombstone } from '@keyframe/repository';
import { type EpochFacts, type ExpiryFacts, nameOf } from './facts.ts';
import { packNeeds, unneeded } from './pack-needs.ts';
import { withPacks, withRange } from './next-tombstones.ts';
import { type Evaluation, finalNames } from './plan-expiry.ts';
import type { RetentionPolicy } from './policy.ts';
import { intersection } from './segment-ranges.ts';
import { companionsOf, lockedAfter, type WalGoing, walGoing } from './wal-going.ts';
import { linesOf, type WalNeed } from './wal-line.ts';

/** Tombstones whose time has come. */
export interface Due {
  readonly backups: readonly Tombstone[];
  readonly wal: readonly WalTombstone[];
}

/** What is removed, and which tombstones that serves. */
export interface DueRemoval extends Removal {
  /** With the packs that nobody needs, which may be fewer than were marked. */
  readonly tombstones: readonly Tombstone[];
  readonly walRanges: readonly WalGoing[];
  readonly segments: number;
  readonly sizeBytes: number;
  /** Manifests that would have to be read to be sure. Nothing may be removed then. */
  readonly unknown: readonly string[];
}

/** How a removal is decided. */
export interface DueContext {
  readonly facts: ExpiryFacts;
  readonly evaluation: Evaluation;
  readonly policy: RetentionPolicy;
  readonly now: Date;
}

/**
 * Of what is due, that which the plan still lets go and which nothing needs that stays for now: what is only marked can
 * still be brought back, and an unfinished backup can still finish.
 */
export function dueRemoval(due: Due, context: DueContext): DueRemoval {
  const { facts, evaluation } = context;
  const isFinal = finalNames(facts);
  const goes = new Map(evaluation.plan.goes.map((each) => [nameOf(each), each]));
  const whole = due.backups.filter(
    (each) => each.kind !== 'packs' && (isFinal(nameOf(each)) || goes.get(nameOf(each))?.kind === each.kind),
  );
  const leaving = new Set([...whole.map(nameOf), ...finalOf(facts, isFinal)]);
  const needs = packNeeds(facts, (name) => !leaving.has(name));
  const packsOnly = due.backups.filter(({ kind }) => kind === 'packs');
  const tombstones = [...whole, ...packsOnly].map((each) => {
    const free = new Set(unneeded(needs, nameOf(each), each.packs));
    return withPacks(each, (number) => free.has(number));
  });
  const walRanges = dueWal(due.wal, leaving, context);
  const companions = facts.epochs.flatMap((each) =>
    companionsOf(each, walRanges).map(({ name, sizeBytes }) => ({ epoch: each.epoch, name, sizeBytes })),
  );
  return {
    labels: whole.map(({ epoch, label }) => ({ epoch, label })),
    packs: tombstones.flatMap(({ epoch, label, packs }) => packs.map((number) => ({ epoch, label, number }))),
    wal: [...walRanges.flatMap(namesOf), ...companions],
    tombstones: tombstones.filter(({ kind, packs }) => kind !== 'packs' || packs.length > 0),
    walRanges,
    segments: walRanges.reduce((sum, { segments }) => sum + segments, 0),
    sizeBytes:
      bytesOf(facts, tombstones) + [...walRanges, ...companions].reduce((sum, each) => sum + each.sizeBytes, 0),
    unknown: needs.unknown,
  };
}

function finalOf({ epochs }: ExpiryFacts, isFinal: (name: string) => boolean): string[] {
  return epochs.flatMap(({ backups, unfinished }) => [...backups, ...unfinished].map(nameOf).filter(isFinal));
}

/** WAL that is due and that neither what stays nor what could still come back needs. */
function dueWal(due: readonly WalTombstone[], leaving: ReadonlySet<string>, context: DueContext): WalGoing[] {
  const { facts, evaluation, policy, now } = context;
  const staying = facts.epochs.flatMap((each) =>
    each.backups.filter((backup) => !leaving.has(nameOf(backup))).map((backup) => ({ each, backup })),
  );
  const kept = new Set(evaluation.plan.kept.map(nameOf));
  const revocable = staying
    .filter(({ backup }) => !kept.has(nameOf(backup)))
    .flatMap(({ each, backup }) => linesOf(each, backup).map((history): WalNeed => wholeLine(each, history, backup)));
  const free = walGoing(facts, [...evaluation.walNeeds, ...revocable], {
    youngerThanMs: now.getTime() - policy.graceMs,
    lockedAfterMs: lockedAfter(policy, now),
    mayFinish: (unfinished) => !leaving.has(nameOf(unfinished)),
  });
  return free.flatMap((range) => {
    const marked = due.filter((each) => each.epoch === range.epoch && each.timeline === range.timeline);
    return intersection([range], marked).map((both) => portionOf(facts, withRange(range, both)));
  });
}

function wholeLine(
  { epoch }: EpochFacts,
  history: WalNeed['history'],
  { startLsn }: { readonly startLsn: WalNeed['from'] },
): WalNeed {
  return { epoch, history, from: startLsn, to: undefined };
}

/** The range with its own count and size. */
function portionOf(facts: ExpiryFacts, range: WalGoing): WalGoing {
  const { numbers = [], sizes = [] } =
    facts.epochs.find(({ epoch }) => epoch === range.epoch)?.timelines.get(range.timeline) ?? {};
  let [segments, sizeBytes] = [0, 0];
  for (const [at, number] of numbers.entries())
    if (range.first <= number && number <= range.last) {
      segments += 1;
      sizeBytes += sizes[at] ?? 0;
    }
  return { ...range, segments, sizeBytes };
}

function namesOf({ epoch, timeline, first, last, segmentSizeBytes }: WalGoing): { epoch: number; name: string }[] {
  return Array.from({ length: last - first + 1 }, (_, at) => ({
    epoch,
    name: segmentName(timeline, BigInt(first + at), segmentSizeBytes),
  }));
}

function bytesOf(facts: ExpiryFacts, tombstones: readonly Tombstone[]): number {
  const labels = new Map(
    facts.epochs.flatMap(({ epoch, labels: each }) =>
      each.map((label) => [nameOf({ epoch, label: label.label }), label]),
    ),
  );
  return tombstones.reduce((sum, each) => {
    const label = labels.get(nameOf(each));
    const packBytes = each.packs.reduce((bytes, number) => bytes + (label?.packs.get(number) ?? 0), 0);
    return sum + packBytes + (each.kind === 'packs' ? 0 : (label?.otherBytes ?? 0));
  }, 0);
}
