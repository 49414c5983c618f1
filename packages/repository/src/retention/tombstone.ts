import type { TimelineId } from '@keyframe/contracts';
import type { Fields, Json } from '../format/sealed-json.ts';
import { formatNumbers, parseNumbers } from './pack-numbers.ts';
import type { StateForm } from './numbered-state.ts';

/** What of a label goes: a published backup, what an unfinished one left, or packs alone that outlived theirs. */
export type TombstoneKind = 'backup' | 'unfinished' | 'packs';

/**
 * `marked`: the grace period runs, everything is still there. `deciding`: it is over, and a run asks once more who needs it;
 * everything is still there. `removing`: decided for good, objects may be gone.
 * `fenced`: a backup whose record is gone, remembered: should the process of an unfinished one wake up, what it publishes
 * does not count; and packs of a removed one that live on, with the copy of its manifest in them, do not bring it back.
 */
export type TombstonePhase = 'marked' | 'deciding' | 'removing' | 'fenced';

/** Something of `backups/` that is to be removed. A label can have several: its packs may fall free later than itself. */
export interface Tombstone {
  readonly epoch: number;
  readonly label: string;
  readonly kind: TombstoneKind;
  /** Numbers of its packs that go. */
  readonly packs: readonly number[];
  readonly phase: TombstonePhase;
  /** By the clock of the host that marked it. */
  readonly markedAt: string;
  /** Number of the tombstone object in which it stood first: its time is the store's word for the same. */
  readonly since: number;
  readonly reason: string;
  /** Of the run that decides. Another one takes a decision over by putting its own here. */
  readonly token?: string | undefined;
}

/** WAL segments of one timeline that are to be removed, by running number (LSN divided by the segment size). */
export interface WalTombstone {
  readonly epoch: number;
  readonly timeline: TimelineId;
  readonly first: number;
  readonly last: number;
  readonly markedAt: string;
  readonly since: number;
}

/** All tombstones of a cluster. */
export interface TombstoneState {
  readonly backups: readonly Tombstone[];
  readonly wal: readonly WalTombstone[];
}

const KINDS = ['backup', 'unfinished', 'packs'] as const;
const PHASES = ['marked', 'deciding', 'removing', 'fenced'] as const;

export const TOMBSTONE_FORM: StateForm<TombstoneState> = {
  empty: { backups: [], wal: [] },
  encode: ({ backups, wal }) => ({
    backups: backups.map(({ packs, ...each }): Json => ({ ...each, packs: formatNumbers(packs) })),
    wal: wal.map((each): Json => ({ ...each })),
  }),
  decode: (fields, key) => ({
    backups: fields.list('backups').map((each) => readTombstone(each, key)),
    wal: fields.list('wal').map((each) => ({
      epoch: each.integer('epoch'),
      timeline: each.integer('timeline'),
      first: each.integer('first'),
      last: each.integer('last'),
      markedAt: each.text('markedAt'),
      since: each.integer('since'),
    })),
  }),
};

function readTombstone(fields: Fields, key: string): Tombstone {
  return {
    epoch: fields.integer('epoch'),
    label: fields.text('label'),
    kind: fields.word('kind', KINDS),
    packs: parseNumbers(fields.text('packs'), key),
    phase: fields.word('phase', PHASES),
    markedAt: fields.text('markedAt'),
    since: fields.integer('since'),
    reason: fields.text('reason'),
    ...(fields.has('token') ? { token: fields.text('token') } : {}),
  };
}

/** Whether nothing brings it back any more. */
export function isFinal({ phase }: Tombstone): boolean {
  return phase === 'removing' || phase === 'fenced';
}

/** Whether a published backup of that label counts: it is neither expired nor came back after its objects were removed. */
export function isHidden(state: TombstoneState, epoch: number, label: string): boolean {
  return state.backups.some(
    (each) =>
      each.epoch === epoch &&
      each.label === label &&
      (each.kind === 'backup' || (each.kind === 'unfinished' && isFinal(each))),
  );
}
