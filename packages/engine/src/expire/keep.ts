/** Which backups stay, and which WAL with them. Pure. @packageDocumentation */
import type { Hold } from '@keyframe/repository';
import { type BackupFact, type EpochFacts, type ExpiryFacts, nameOf } from './facts.ts';
import { CALENDAR, type RetentionPolicy } from './policy.ts';
import { rangesOf } from './segment-ranges.ts';
import { type HeldWal, isRestorable, lastArchivedMs, linesOf, ownHistory, type WalNeed } from './wal-line.ts';

/** Times of a server, of this host and of a store are compared; they may differ by this. */
const CLOCK_MARGIN_MS = 600_000;

/** A backup that stays. */
export interface KeptBackup {
  readonly epoch: number;
  readonly label: string;
  readonly reasons: readonly string[];
  /** `every-moment`: WAL goes on from it. `own-end`: it can be restored as it was when it ended, to no later moment. */
  readonly recovers: 'every-moment' | 'own-end';
}

/** What stays. */
export interface Keeping {
  readonly kept: ReadonlyMap<string, KeptBackup>;
  readonly needs: readonly WalNeed[];
}

/** A published backup in its epoch. */
export interface Candidate {
  readonly facts: EpochFacts;
  readonly backup: BackupFact;
  readonly restorable: boolean;
}

/** The segments of an epoch as ranges. */
export function heldWal({ timelines }: EpochFacts): HeldWal {
  return new Map([...timelines].map(([timeline, { numbers }]) => [timeline, rangesOf(numbers)]));
}

/** Published backups that may stay, in the order they stopped: not those whose removal is decided. */
export function candidatesOf(facts: ExpiryFacts, isFinal: (name: string) => boolean): Candidate[] {
  return facts.epochs
    .flatMap((each) => {
      const held = heldWal(each);
      return each.backups.map((backup) => ({ facts: each, backup, restorable: isRestorable(each, held, backup) }));
    })
    .filter(({ backup }) => !isFinal(nameOf(backup)))
    .toSorted((one, other) => byStop(one.backup, other.backup));
}

function byStop(one: BackupFact, other: BackupFact): number {
  if (one.epoch !== other.epoch) return one.epoch - other.epoch;
  return Date.parse(one.stoppedAt) - Date.parse(other.stoppedAt) || (one.label < other.label ? -1 : 1);
}

/** Applies every rule to every backup. */
export function decideKeeping(
  facts: ExpiryFacts,
  candidates: readonly Candidate[],
  policy: RetentionPolicy,
  now: Date,
): Keeping {
  const keeping = new KeepingBuilder();
  const restorable = candidates.filter((each) => each.restorable);
  keepWindow(keeping, facts, candidates, policy, now.getTime());
  keepLocked(keeping, candidates, policy, now.getTime());
  for (const each of lastOf(restorable, policy.count)) keeping.all(each, `one of the last ${policy.count}`);
  const fulls = restorable.filter(({ backup }) => backup.type === 'full');
  for (const each of lastOf(fulls, policy.minFull)) keeping.all(each, `one of the last ${policy.minFull} full backups`);
  for (const { name, period } of CALENDAR)
    for (const [value, each] of lastOf(lastPerPeriod(restorable, period), policy[name]))
      keeping.by(policy.wal === 'all', each, `${name}: ${value}`);
  keepNewest(keeping, facts, restorable);
  for (const hold of facts.holds) if (isActive(hold, now)) keepHeld(keeping, facts, candidates, hold);
  keepInUse(keeping, facts, candidates);
  return keeping;
}

const lastOf = <Item>(items: readonly Item[], count = 0): readonly Item[] => (count === 0 ? [] : items.slice(-count));

/** Whether a hold still holds. */
export function isActive({ until }: Hold, now: Date): boolean {
  return until === undefined || Date.parse(until) > now.getTime();
}

function lastPerPeriod(candidates: readonly Candidate[], period: (time: string) => string): [string, Candidate][] {
  return [...new Map(candidates.map((each) => [period(each.backup.stoppedAt), each]))].toSorted(([one], [other]) =>
    one < other ? -1 : 1,
  );
}

/** Backups inside, and for every history with moments inside the one from which the first of them is reached. */
function keepWindow(
  keeping: KeepingBuilder,
  facts: ExpiryFacts,
  candidates: readonly Candidate[],
  { windowMs }: RetentionPolicy,
  nowMs: number,
): void {
  if (windowMs === undefined) return;
  const cutoff = nowMs - windowMs;
  for (const each of candidates) if (stoppedMs(each) >= cutoff - CLOCK_MARGIN_MS) keeping.all(each, 'in the window');
  for (const { history, endMs, of } of lines(facts, candidates)) {
    if (endMs < cutoff - CLOCK_MARGIN_MS) continue;
    const anchor = of.findLast((each) => each.restorable && stoppedMs(each) < cutoff - CLOCK_MARGIN_MS);
    if (anchor !== undefined) keeping.all(anchor, `first moments of the window on timeline ${history.timeline}`);
  }
}

/** What cannot be removed yet is not hidden either. */
function keepLocked(
  keeping: KeepingBuilder,
  candidates: readonly Candidate[],
  { lockedMs }: RetentionPolicy,
  nowMs: number,
): void {
  if (lockedMs === undefined) return;
  for (const each of candidates)
    if (stoppedMs(each) >= nowMs - lockedMs - CLOCK_MARGIN_MS) keeping.all(each, 'locked by the store');
}

interface Line {
  readonly facts: EpochFacts;
  readonly history: EpochFacts['histories'][number];
  /** When its WAL ends; infinite for the one that goes on now. */
  readonly endMs: number;
  /** Backups that lie on it. */
  readonly of: readonly Candidate[];
}

function lines(facts: ExpiryFacts, candidates: readonly Candidate[]): Line[] {
  return facts.epochs.flatMap((each, index) => {
    const newest = each.histories.reduce((last, { timeline }) => Math.max(last, timeline), 1);
    return each.histories.map((history) => {
      const goesOn = index === facts.epochs.length - 1 && history.timeline === newest;
      const of = candidates.filter(
        (candidate) => candidate.facts === each && linesOf(each, candidate.backup).includes(history),
      );
      const endMs = goesOn ? Infinity : (lastArchivedMs(each, history.timeline) ?? 0);
      return { facts: each, history, endMs, of };
    });
  });
}

const stoppedMs = ({ backup }: Candidate): number => Date.parse(backup.stoppedAt);

/** Whatever the policy says, something can be restored afterwards; and something of the history that goes on. */
function keepNewest(keeping: KeepingBuilder, facts: ExpiryFacts, restorable: readonly Candidate[]): void {
  const newest = restorable.at(-1);
  if (newest !== undefined) keeping.all(newest, 'the newest that can be restored');
  for (const { endMs, of } of lines(facts, restorable)) {
    const last = of.at(-1);
    if (endMs === Infinity && last !== undefined) keeping.all(last, 'the newest of the history that goes on');
  }
}

function keepHeld(
  keeping: KeepingBuilder,
  facts: ExpiryFacts,
  candidates: readonly Candidate[],
  { id, label, from, to, wal }: Hold,
): void {
  const reason = `hold ${id}`;
  if (label !== undefined)
    for (const each of candidates) if (each.backup.label === label) keeping.by(wal, each, reason);
  if (from === undefined || to === undefined) return;
  const [fromMs, toMs] = [Date.parse(from) - CLOCK_MARGIN_MS, Date.parse(to) + CLOCK_MARGIN_MS];
  for (const { facts: epoch, history, endMs, of } of lines(facts, candidates)) {
    if (endMs < fromMs) continue;
    const base =
      of.findLast((each) => each.restorable && stoppedMs(each) <= fromMs) ??
      of.find((each) => each.restorable && stoppedMs(each) <= toMs);
    if (base === undefined) continue;
    // A backup that was begun later says in its start LSN where the range has surely ended.
    const after = of.find(({ backup }) => Date.parse(backup.startedAt) > toMs && backup.startLsn > base.backup.stopLsn);
    keeping.by(false, base, reason);
    keeping.need({ epoch: epoch.epoch, history, from: base.backup.startLsn, to: after?.backup.startLsn });
  }
}

/** What restores read from, and what unfinished backups build on. */
function keepInUse(keeping: KeepingBuilder, facts: ExpiryFacts, candidates: readonly Candidate[]): void {
  for (const each of candidates) {
    const { epoch, label } = each.backup;
    const restored = facts.restoring.some(
      (other) => other.epoch === epoch && other.label.toLowerCase() === label.toLowerCase(),
    );
    if (restored) keeping.all(each, 'it is being restored');
    for (const running of each.facts.unfinished)
      if (running.state === 'running' && running.bases.includes(label))
        keeping.by(false, each, `backup ${running.label} builds on it`);
  }
}

class KeepingBuilder implements Keeping {
  readonly kept = new Map<string, KeptBackup>();
  readonly needs: WalNeed[] = [];

  /** With every moment after it, along every history it lies on. */
  all(candidate: Candidate, reason: string): void {
    this.by(true, candidate, reason);
  }

  need(need: WalNeed): void {
    this.needs.push(need);
  }

  /** With every moment after it, or with what makes it consistent alone. */
  by(everyMoment: boolean, { facts, backup }: Candidate, reason: string): void {
    const { epoch, label, startLsn, stopLsn } = backup;
    const known = this.kept.get(nameOf(backup));
    const reasons = known?.reasons ?? [];
    const recovers = everyMoment || known?.recovers === 'every-moment' ? 'every-moment' : 'own-end';
    this.kept.set(nameOf(backup), {
      epoch,
      label,
      recovers,
      reasons: reasons.includes(reason) ? reasons : [...reasons, reason],
    });
    if (known === undefined)
      this.need({ epoch, history: ownHistory(facts, backup.timeline), from: startLsn, to: stopLsn });
    if (everyMoment && known?.recovers !== 'every-moment')
      for (const history of linesOf(facts, backup)) this.need({ epoch, history, from: startLsn, to: undefined });
  }
}
