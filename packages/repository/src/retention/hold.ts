import { type Abortable, KeyframeError, type Store } from '@keyframe/contracts';
import type { Fields, Json } from '../format/sealed-json.ts';
import { holdPrefix } from './retention-keys.ts';
import { NumberedState, type StateForm } from './numbered-state.ts';

/** Keeps what the policy alone would let go. */
export interface Hold {
  /** Running number within the cluster, from 1. Never used again. */
  readonly id: number;
  /** Holds this backup. */
  readonly label?: string | undefined;
  /** Holds every moment from here to `to`; ISO 8601 in UTC. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** With a label: keeps also all WAL from the backup on, not only what makes it consistent. */
  readonly wal: boolean;
  /** It ends by itself then. Without it somebody has to remove it. */
  readonly until?: string | undefined;
  readonly reason: string;
  readonly addedAt: string;
}

interface HoldState {
  readonly next: number;
  readonly holds: readonly Hold[];
}

const FORM: StateForm<HoldState> = {
  empty: { next: 1, holds: [] },
  encode: ({ next, holds }) => ({ next, holds: holds.map((each): Json => ({ ...each })) }),
  decode: (fields) => ({ next: fields.integer('next'), holds: fields.list('holds').map(readHold) }),
};

const TRIES = 10;
/** Superseded states that are kept for people to look at. */
const KEPT = 16;

function readHold(fields: Fields): Hold {
  const optional = (name: string): string | undefined => (fields.has(name) ? fields.text(name) : undefined);
  return {
    id: fields.integer('id'),
    label: optional('label'),
    from: optional('from'),
    to: optional('to'),
    wal: fields.boolean('wal'),
    until: optional('until'),
    reason: fields.text('reason'),
    addedAt: fields.text('addedAt'),
  };
}

/** The holds of one cluster. */
export class Holds {
  readonly #state: NumberedState<HoldState>;
  readonly #now: () => Date;

  constructor(store: Store, cluster: string, now: () => Date) {
    this.#state = new NumberedState(store, holdPrefix(cluster), FORM);
    this.#now = now;
  }

  /** All that were not removed, those past their `until` included. */
  async list({ signal }: Abortable = {}): Promise<readonly Hold[]> {
    return (await this.#state.read(signal)).state.holds;
  }

  async add(hold: Omit<Hold, 'id' | 'addedAt'>, { signal }: Abortable = {}): Promise<Hold> {
    const addedAt = this.#now().toISOString();
    return this.#change(({ next, holds }) => {
      const added = { ...hold, id: next, addedAt };
      return { state: { next: next + 1, holds: [...holds, added] }, result: added };
    }, signal);
  }

  /** @throws {KeyframeError} NOT_FOUND */
  async remove(id: number, { signal }: Abortable = {}): Promise<Hold> {
    return this.#change(({ next, holds }) => {
      const removed = holds.find((each) => each.id === id);
      if (removed === undefined)
        throw new KeyframeError('NOT_FOUND', `there is no hold ${id}`, {
          hint: 'Name one of `keyframe hold list` by its number.',
          details: { id },
        });
      return { state: { next, holds: holds.filter((each) => each !== removed) }, result: removed };
    }, signal);
  }

  async #change<Result>(
    change: (state: HoldState) => { readonly state: HoldState; readonly result: Result },
    signal: AbortSignal | undefined,
  ): Promise<Result> {
    for (let tried = 0; tried < TRIES; tried += 1) {
      const { number, state } = await this.#state.read(signal);
      const changed = change(state);
      if (!(await this.#state.follow(number, changed.state, signal))) continue;
      await this.#state.trim({ keep: KEPT }, signal);
      return changed.result;
    }
    throw new KeyframeError('CONFLICT', 'others change the holds of this cluster at the same time', {
      hint: 'Run `keyframe hold list`, then repeat the command.',
    });
  }
}
