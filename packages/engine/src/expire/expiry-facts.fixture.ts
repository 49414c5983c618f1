/** Facts of small clusters, for what is decided from facts alone. @packageDocumentation */
import { type Lsn, lsn } from '@keyframe/contracts';
import type { TimelineHistory } from '@keyframe/postgres';
import type { BackupFact, EpochFacts, ExpiryFacts } from './facts.ts';
import type { RetentionPolicy } from './policy.ts';

const SEGMENT = 1 << 20;
export const DAY_MS: number = 86_400_000;
export const NOW: Date = new Date('2026-11-24T12:00:00Z');
export const BASE: RetentionPolicy = { graceMs: DAY_MS, wal: 'window' };
export const FIRST: TimelineHistory = { timeline: 1, ancestors: [] };

export const at = (segment: number, offset = 40): Lsn => lsn(BigInt(segment) * BigInt(SEGMENT) + BigInt(offset));
export const daysAgo = (days: number): string => new Date(NOW.getTime() - days * DAY_MS).toISOString();

/** A backup from that segment to the next, so many days ago, that needs those packs of others beside its own first. */
export function backup(
  label: string,
  segment: number,
  days: number,
  more: Partial<BackupFact> & { others?: string[] } = {},
): BackupFact {
  const { others = [], ...rest } = more;
  return {
    epoch: 1,
    label,
    type: 'full',
    timeline: 1,
    startLsn: at(segment),
    stopLsn: at(segment + 1),
    startedAt: new Date(NOW.getTime() - days * DAY_MS - 60_000).toISOString(),
    stoppedAt: daysAgo(days),
    uses: [label, ...others].map((each) => ({ epoch: 1, label: each, number: 1 })),
    ...rest,
  };
}

/** One epoch with those backups and the segments 1 to `last` of timeline 1, one of them a day. */
export function epochOf(backups: readonly BackupFact[], last: number, more: Partial<EpochFacts> = {}): EpochFacts {
  const numbers = Array.from({ length: last }, (_, index) => index + 1);
  return {
    epoch: 1,
    segmentSizeBytes: SEGMENT,
    backups,
    unfinished: [],
    labels: backups.map(({ label }) => ({ label, packs: new Map([[1, 100]]), otherBytes: 10 })),
    histories: [FIRST],
    timelines: new Map([
      [
        1,
        {
          numbers,
          sizes: numbers.map(() => 5),
          modifiedMs: numbers.map((number) => NOW.getTime() - (last - number) * DAY_MS),
        },
      ],
    ]),
    companions: [],
    ...more,
  };
}

export const factsOf = (epoch: EpochFacts, more: Partial<ExpiryFacts> = {}): ExpiryFacts => ({
  epochs: [epoch],
  tombstones: { backups: [], wal: [] },
  tombstoneNumber: 0,
  holds: [],
  restoring: [],
  blocks: [],
  ...more,
});
