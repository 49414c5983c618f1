import { formatLsn, segmentName } from '@keyframe/contracts';
import type { ExpiryOutcome, RemovedThings } from './apply-expiry.ts';
import type { KeptBackup } from './keep.ts';
import { nameOf } from './facts.ts';
import type { RecoverableRange } from './recoverable.ts';

/** A range of moments as `--json` shows it. */
export interface RangeReport {
  readonly epoch: number;
  readonly timeline: number;
  readonly backup: string;
  readonly from: string;
  readonly fromLsn: string;
  /** When the last WAL was archived. */
  readonly to: string;
  readonly toLsn: string;
  readonly ownEnd: boolean;
}

/** Something that goes as `--json` shows it. */
export interface GoingReport {
  readonly epoch: number;
  readonly label: string;
  readonly kind: 'backup' | 'unfinished' | 'packs';
  readonly packs: number;
  readonly sizeBytes: number;
  readonly reason: string;
  /** Earliest time of its removal; until then `undelete` brings a backup back. */
  readonly removedAfter: string | undefined;
}

/** An expiry as `--json` shows it. */
export interface ExpiryReport {
  readonly kept: readonly KeptBackup[];
  readonly goes: readonly GoingReport[];
  readonly wal: readonly {
    readonly epoch: number;
    readonly timeline: number;
    readonly first: string;
    readonly last: string;
    readonly segments: number;
    readonly sizeBytes: number;
  }[];
  readonly freedBytes: number;
  readonly recoverable: { readonly before: readonly RangeReport[]; readonly after: readonly RangeReport[] };
  readonly leftAlone: readonly { readonly label: string; readonly reason: string }[];
  /** Why nothing was marked and removed, if so. */
  readonly blocks: readonly string[];
  readonly removed: RemovedThings;
}

/** An expiry, or what one would do, in plain facts. */
export function describeExpiry({ plan, waiting, removed }: ExpiryOutcome): ExpiryReport {
  const due = new Map(waiting.filter(({ kind }) => kind !== 'packs').map((each) => [nameOf(each), each.removedAfter]));
  return {
    kept: plan.kept,
    goes: plan.goes.map(({ packs, ...each }) => ({
      ...each,
      packs: packs.length,
      removedAfter: due.get(nameOf(each)),
    })),
    wal: plan.wal.map(({ epoch, timeline, first, last, segments, sizeBytes, segmentSizeBytes }) => ({
      epoch,
      timeline,
      first: segmentName(timeline, BigInt(first), segmentSizeBytes),
      last: segmentName(timeline, BigInt(last), segmentSizeBytes),
      segments,
      sizeBytes,
    })),
    freedBytes: plan.freedBytes,
    recoverable: { before: plan.before.map(describeRange), after: plan.after.map(describeRange) },
    leftAlone: plan.spared.map(({ label, reason }) => ({ label, reason })),
    blocks: plan.blocks,
    removed,
  };
}

function describeRange({ fromLsn, toLsn, ...range }: RecoverableRange): RangeReport {
  return { ...range, fromLsn: formatLsn(fromLsn), toLsn: formatLsn(toLsn) };
}
