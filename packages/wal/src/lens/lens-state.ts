import type { Lsn } from '@keyframe/contracts';
import type { RelationId } from '../facts.ts';
import type { MessageEffect, RelationEffect } from './segment-index.ts';

/** A transaction that has not ended yet. */
export interface OpenTransaction {
  readonly xid: number;
  readonly topXid: number;
  readonly firstLsn: Lsn;
  readonly tables: readonly RelationEffect[];
  readonly created: readonly RelationId[];
  readonly truncated: readonly number[];
  readonly messages: readonly MessageEffect[];
  /** The tracker was given records of it. */
  readonly tracked: boolean;
}

/** With what a lens goes on behind a segment as if it had never stopped. */
export interface LensState {
  /**
   * Where the next record begins, to be passed as `from`: in the next segment, or in an earlier one when a record crosses the
   * boundary. `undefined` after a fault.
   */
  readonly position: Lsn | undefined;
  /** Xids from this one on began under the eyes of the lens; `undefined` when that is not known yet. */
  readonly knownFrom: number | undefined;
  readonly open: readonly OpenTransaction[];
}

/** A lens at the very beginning. */
export const NO_LENS_STATE: LensState = { position: undefined, knownFrom: undefined, open: [] };
