import { type Abortable, hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import { archivePrefix, packName } from '../keys.ts';
import { NumberedState } from '../retention/numbered-state.ts';
import { DAMAGE_FORM, type DamagedPack, type DamageState } from './damaged-pack.ts';

/** Writers that change it at once; more than ever meet. */
const TRIES = 10;
/** Superseded states that are kept for people to look at. */
const KEPT = 4;

/**
 * The damage that is known of one cluster. It lies in the repository, not on the host that found it: the next backup may be
 * taken by another one.
 */
export class KnownDamage {
  readonly #state: NumberedState<DamageState>;
  readonly #cluster: string;

  constructor(store: Store, cluster: string) {
    this.#cluster = cluster;
    this.#state = new NumberedState(store, `clusters/${cluster}/damage/`, DAMAGE_FORM);
  }

  /** Key of the pack. */
  keyOf({ epoch, label, number }: Pick<DamagedPack, 'epoch' | 'label' | 'number'>): string {
    return `${archivePrefix(this.#cluster, epoch)}backups/${label}/${packName(number)}`;
  }

  /** What is known, by the keys of the packs. Where its object is damaged itself, nothing is. */
  async read(options: Abortable = {}): Promise<ReadonlyMap<string, DamagedPack>> {
    return (await this.#numbered(options)).known;
  }

  /**
   * Changes what is known; writes nothing when that says the same.
   * @throws {KeyframeError} CONFLICT, ACCESS_DENIED where this host may only read
   */
  async change(
    next: (known: ReadonlyMap<string, DamagedPack>) => readonly DamagedPack[],
    { signal }: Abortable = {},
  ): Promise<void> {
    for (let tried = 0; tried < TRIES; tried += 1) {
      const { number, known } = await this.#numbered({ signal });
      const packs = next(known).toSorted((one, other) => (this.keyOf(one) < this.keyOf(other) ? -1 : 1));
      if (JSON.stringify(packs) === JSON.stringify(inOrder(known))) return;
      if (!(await this.#state.follow(number, { packs }, signal))) continue;
      await this.#state.trim({ keep: KEPT }, signal);
      return;
    }
    throw new KeyframeError('CONFLICT', 'others change what is known of damage at the same time', {
      hint: 'Run `keyframe verify` again when no other one runs.',
    });
  }

  async #numbered({ signal }: Abortable): Promise<{
    readonly number: number;
    readonly known: ReadonlyMap<string, DamagedPack>;
  }> {
    try {
      const { number, state } = await this.#state.read(signal);
      return { number, known: new Map(state.packs.map((each) => [this.keyOf(each), each])) };
    } catch (error) {
      if (!hasCode(error, 'CORRUPT')) throw error;
      return { number: await this.#state.newest(signal), known: new Map() };
    }
  }
}

function inOrder(known: ReadonlyMap<string, DamagedPack>): DamagedPack[] {
  return [...known].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, pack]) => pack);
}
