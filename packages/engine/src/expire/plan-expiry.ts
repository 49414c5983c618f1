/**
 * Decides what of a cluster stays and what goes, and says what can still be recovered afterwards. Pure: the same facts give
 * the same plan, whatever ran before.
 * @packageDocumentation
 */
import { type ExpiryFacts, type LabelFact, nameOf, type UnfinishedFact } from './facts.ts';
import { type Candidate, candidatesOf, decideKeeping, heldWal, type KeptBackup, type Keeping } from './keep.ts';
import { packNeeds, type PackNeeds, unneeded } from './pack-needs.ts';
import type { RetentionPolicy } from './policy.ts';
import { type RecoverableRange, recoverableRanges } from './recoverable.ts';
import type { WalNeed } from './wal-line.ts';
import { companionsOf, lockedAfter, type WalGoing, walGoing, withoutWal } from './wal-going.ts';

/** What goes of one label: a backup, the remains of an unfinished one, or packs that outlived theirs. */
export interface GoingLabel {
  readonly epoch: number;
  readonly label: string;
  readonly kind: 'backup' | 'unfinished' | 'packs';
  readonly packs: readonly number[];
  readonly sizeBytes: number;
  readonly reason: string;
}

/** An unfinished backup that is left alone. */
export interface SparedBackup {
  readonly epoch: number;
  readonly label: string;
  readonly reason: string;
}

/** What stays, what goes, and what that means. */
export interface ExpiryPlan {
  readonly kept: readonly KeptBackup[];
  readonly spared: readonly SparedBackup[];
  readonly goes: readonly GoingLabel[];
  readonly wal: readonly WalGoing[];
  /** WAL files that go with segments, by epoch. */
  readonly companions: readonly { readonly epoch: number; readonly name: string; readonly sizeBytes: number }[];
  readonly freedBytes: number;
  /** Moments that could be recovered so far, and those that can when everything that goes is gone. */
  readonly before: readonly RecoverableRange[];
  readonly after: readonly RecoverableRange[];
  /** Why nothing may be removed now, if so. */
  readonly blocks: readonly string[];
}

/** Names whose removal was decided by an earlier run: no policy brings them back. */
export type FinalNames = (name: string) => boolean;

/** Labels that tombstones have taken for good. */
export function finalNames({ tombstones }: Pick<ExpiryFacts, 'tombstones'>): FinalNames {
  const names = new Set(
    tombstones.backups
      .filter(({ phase, kind }) => (phase === 'removing' || phase === 'fenced') && kind !== 'packs')
      .map(nameOf),
  );
  return (name) => names.has(name);
}

/** Plans an expiry. */
export function planExpiry(facts: ExpiryFacts, policy: RetentionPolicy, now: Date): ExpiryPlan {
  return evaluate(facts, policy, now).plan;
}

/** A plan, and which WAL what it keeps needs. */
export interface Evaluation {
  readonly plan: ExpiryPlan;
  readonly walNeeds: readonly WalNeed[];
}

/** {@link planExpiry} with what a removal needs beside it. */
export function evaluate(facts: ExpiryFacts, policy: RetentionPolicy, now: Date): Evaluation {
  const isFinal = finalNames(facts);
  const candidates = candidatesOf(facts, isFinal);
  const keeping = decideKeeping(facts, candidates, policy, now);
  const { kept } = keeping;
  const spared = facts.epochs.flatMap(({ unfinished }) =>
    unfinished.flatMap((each) => spare(each, facts, kept, candidates, isFinal) ?? []),
  );
  const sparedNames = new Set(spared.map(nameOf));
  const needs = packNeeds(facts, (name) => kept.has(name) || sparedNames.has(name));
  const goes = facts.epochs.flatMap(({ epoch, labels }) =>
    labels.flatMap((label) => going(facts, epoch, label, { kept, spared: sparedNames, needs }) ?? []),
  );
  const shelter = {
    youngerThanMs: now.getTime() - policy.graceMs,
    lockedAfterMs: lockedAfter(policy, now),
    mayFinish: (each: UnfinishedFact | { epoch: number; label: string }) => sparedNames.has(nameOf(each)),
  };
  const wal = walGoing(facts, keeping.needs, shelter);
  const companions = facts.epochs.flatMap((each) =>
    companionsOf(each, wal).map(({ name, sizeBytes }) => ({ epoch: each.epoch, name, sizeBytes })),
  );
  const plan: ExpiryPlan = {
    kept: candidates.flatMap(({ backup }) => kept.get(nameOf(backup)) ?? []),
    spared,
    goes,
    wal,
    companions,
    freedBytes: [...goes, ...wal, ...companions].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    ...moments(facts, candidates, keeping, wal),
    blocks: [...facts.blocks, ...needs.unknown.map((label) => `the manifest of backup ${label} cannot be read`)],
  };
  return { plan, walNeeds: keeping.needs };
}

function moments(
  facts: ExpiryFacts,
  candidates: readonly Candidate[],
  { kept }: Keeping,
  wal: readonly WalGoing[],
): Pick<ExpiryPlan, 'before' | 'after'> {
  const of = (epoch: number): Candidate[] => candidates.filter(({ backup }) => backup.epoch === epoch);
  // What is marked needs `undelete` first.
  const hidden = new Set(facts.tombstones.backups.filter(({ kind }) => kind === 'backup').map(nameOf));
  return {
    before: facts.epochs.flatMap((each) =>
      recoverableRanges(
        each,
        of(each.epoch).flatMap(({ backup }) => (hidden.has(nameOf(backup)) ? [] : [backup])),
        heldWal(each),
      ),
    ),
    after: facts.epochs.flatMap((each) =>
      recoverableRanges(
        each,
        of(each.epoch).flatMap(({ backup }) => (kept.has(nameOf(backup)) ? [backup] : [])),
        withoutWal(each, wal),
      ),
    ),
  };
}

/** Why an unfinished backup is left alone; undefined: it goes. */
function spare(
  unfinished: UnfinishedFact,
  facts: ExpiryFacts,
  kept: ReadonlyMap<string, KeptBackup>,
  candidates: readonly Candidate[],
  isFinal: FinalNames,
): SparedBackup | undefined {
  const { epoch, label, state, complete, startedAt } = unfinished;
  if (isFinal(nameOf(unfinished))) return undefined;
  if (state === 'running') return { epoch, label, reason: 'it may be running' };
  const builder = facts.epochs
    .find((each) => each.epoch === epoch)
    ?.unfinished.find((other) => other.state === 'running' && other.bases.includes(label));
  if (builder !== undefined) return { epoch, label, reason: `backup ${builder.label} takes over what it stored` };
  const oldest = candidates.find(({ backup }) => backup.epoch === epoch && kept.has(nameOf(backup)))?.backup.startedAt;
  // Its record may have been lost; then it is a backup that `repository rebuild` brings back.
  const wanted = oldest === undefined || Date.parse(startedAt) >= Date.parse(oldest);
  return complete && wanted
    ? { epoch, label, reason: 'it is complete but not published: see `keyframe repository rebuild`' }
    : undefined;
}

interface Staying {
  readonly kept: ReadonlyMap<string, KeptBackup>;
  readonly spared: ReadonlySet<string>;
  readonly needs: PackNeeds;
}

function going(facts: ExpiryFacts, epoch: number, label: LabelFact, staying: Staying): GoingLabel | undefined {
  const name = nameOf({ epoch, label: label.label });
  if (staying.kept.has(name) || staying.spared.has(name)) return undefined;
  const of = facts.epochs.find((each) => each.epoch === epoch);
  const kind =
    of?.backups.some((each) => each.label === label.label) === true
      ? 'backup'
      : of?.unfinished.some((each) => each.label === label.label) === true
        ? 'unfinished'
        : 'packs';
  const packs = unneeded(staying.needs, name, label.packs.keys());
  if (kind === 'packs' && packs.length === 0) return undefined;
  const packBytes = packs.reduce((sum, number) => sum + (label.packs.get(number) ?? 0), 0);
  const sizeBytes = packBytes + (kind === 'packs' ? 0 : label.otherBytes);
  return { epoch, label: label.label, kind, packs, sizeBytes, reason: REASONS[kind] };
}

const REASONS = {
  backup: 'no rule wants it any more',
  unfinished: 'it was never finished',
  packs: 'no backup needs them any more',
} as const;
