import { type Abortable, hasCode, isKeyframeError, KeyframeError, type Store } from '@keyframe/contracts';
import { tombstonePrefix } from './retention-keys.ts';
import { type Numbered, NumberedState } from './numbered-state.ts';
import { isFinal, isHidden, type Tombstone, TOMBSTONE_FORM, type TombstoneState } from './tombstone.ts';

/** A pack as a manifest names it. */
export interface PackName {
  readonly epoch: number;
  readonly label: string;
  readonly number: number;
}

/** A backup that is about to count, with every pack it needs. */
export interface Publication {
  readonly epoch: number;
  readonly label: string;
  readonly packs: Iterable<PackName>;
}

/** Superseded tombstones that are kept. */
const KEPT = 16;

/** What tombstones say of a label that has no record. */
export interface RememberedLabel {
  /** `marked`: it can still be brought back by `undelete`. `removed`: for good. */
  readonly state: 'marked' | 'removed';
  readonly kind: 'backup' | 'unfinished';
  readonly markedAt: string;
}

/** What all tombstones that are left say together. */
export interface RememberedLabels {
  of(epoch: number, label: string): RememberedLabel | undefined;
  /** Tombstones that cannot be read: what they alone say is not known. */
  readonly faults: readonly KeyframeError[];
}

/**
 * The tombstones of one cluster.
 *
 * Flags both ways keep a backup and an expiry from missing each other: the backup writes its intent, naming what it builds
 * on, then reads the tombstones; the expiry writes its tombstones, then lists intents and manifests, then deletes. Whatever
 * the pauses between, at least one of the two sees the other.
 */
export class Tombstones {
  readonly #state: NumberedState<TombstoneState>;

  constructor(store: Store, cluster: string) {
    this.#state = new NumberedState(store, tombstonePrefix(cluster), TOMBSTONE_FORM);
  }

  /** @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
  read({ signal }: Abortable = {}): Promise<Numbered<TombstoneState>> {
    return this.#state.read(signal);
  }

  /**
   * Which backups are expired or removed, by the newest tombstones and by all older ones that are left: should the newest be
   * lost or damaged, what was removed before is known still.
   */
  async remembered({ signal }: Abortable = {}): Promise<RememberedLabels> {
    const known = new Map<string, RememberedLabel>();
    const faults: KeyframeError[] = [];
    let isNewest = true;
    for await (const each of this.#state.history(signal)) {
      if (isKeyframeError(each)) {
        faults.push(each);
        continue;
      }
      for (const entry of each.state.backups) {
        const { epoch, label, kind, markedAt } = entry;
        const name = `${epoch}/${label}`;
        if (kind === 'packs') continue;
        if (isFinal(entry)) known.set(name, { state: 'removed', kind, markedAt });
        // What only an older one has marked was taken back.
        else if (isNewest && !known.has(name)) known.set(name, { state: 'marked', kind, markedAt });
      }
      isNewest = false;
    }
    return { of: (epoch, label) => known.get(`${epoch}/${label}`), faults };
  }

  /** False when somebody else changed them since that number was read. */
  follow(number: number, state: TombstoneState, { signal }: Abortable = {}): Promise<boolean> {
    return this.#state.follow(number, state, signal);
  }

  /**
   * Removes what was superseded, but the last ones, from which a rebuilding learns what was removed should the newest be lost,
   * and those whose age says how long something has been marked. The highest at the time of the call stays whatever comes
   * after it: later states name only marks that it has, or objects that follow it.
   */
  async trim({ signal }: Abortable = {}): Promise<void> {
    const { number, state } = await this.#state.read(signal);
    const named = new Set([...state.backups, ...state.wal].map(({ since }) => since));
    await this.#state.trim({ keep: KEPT, isNeeded: (each) => each >= number || named.has(each) }, signal);
  }

  /** By the store's clock. */
  writtenAt(number: number, { signal }: Abortable = {}): Promise<Date | undefined> {
    return this.#state.writtenAt(number, signal);
  }

  /** Tells which labels of an epoch do not count although they are published. */
  async hidden(epoch: number, options: Abortable = {}): Promise<(label: string) => boolean> {
    const state = await this.#readable(options);
    return (label) => isHidden(state, epoch, label);
  }

  /**
   * To be asked by a backup once its intent, which names these labels, is written and before it relies on them.
   * @throws {KeyframeError} CONFLICT when one of them is expired
   */
  async assertBases(epoch: number, labels: readonly string[], options: Abortable = {}): Promise<void> {
    if (labels.length === 0) return;
    const state = await this.#readable(options);
    for (const label of labels)
      if (
        state.backups.some((each) => isNamed(each, epoch, label) && (each.kind === 'backup' || each.phase !== 'marked'))
      )
        throw new KeyframeError('CONFLICT', `the backup ${label}, to be built on, is expired`, {
          hint: 'Run `keyframe backup` again: it builds on another one.',
          details: { label },
        });
  }

  /**
   * To be asked just before and just after `backup.json` is created.
   * @throws {KeyframeError} CONFLICT when the backup itself was given up, or packs it needs are being removed
   */
  async assertPublishable(backup: Publication, options: Abortable = {}): Promise<void> {
    const state = await this.#readable(options);
    const decided = state.backups.filter(({ phase }) => phase !== 'marked');
    if (decided.length === 0) return;
    if (decided.some((each) => each.kind !== 'packs' && isNamed(each, backup.epoch, backup.label)))
      throw new KeyframeError('CONFLICT', `the backup ${backup.label} was taken for dead and removed by an expiry`, {
        hint: 'Run `keyframe backup` again; this one was paused for days.',
        details: { label: backup.label },
      });
    const going = goingPacks(decided);
    for (const { epoch, label, number } of backup.packs)
      if (going.get(`${epoch}/${label}`)?.has(number) === true)
        throw new KeyframeError('CONFLICT', `pack ${number} of backup ${label}, which this backup needs, is removed`, {
          hint: 'Run `keyframe backup` again: it does not build on what is expired.',
          details: { label, pack: number },
        });
  }

  /** Damaged tombstones keep every expiry from removing anything; they must not keep backups and restores from working. */
  async #readable(options: Abortable): Promise<TombstoneState> {
    try {
      return (await this.read(options)).state;
    } catch (error) {
      if (!hasCode(error, 'CORRUPT')) throw error;
      return TOMBSTONE_FORM.empty;
    }
  }
}

function isNamed(tombstone: Tombstone, epoch: number, label: string): boolean {
  return tombstone.epoch === epoch && tombstone.label === label;
}

function goingPacks(tombstones: readonly Tombstone[]): Map<string, Set<number>> {
  const going = new Map<string, Set<number>>();
  for (const { epoch, label, packs } of tombstones) {
    const name = `${epoch}/${label}`;
    going.set(name, new Set([...(going.get(name) ?? []), ...packs]));
  }
  return going;
}
