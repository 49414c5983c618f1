import { type EpochFacts, type ExpiryFacts, nameOf } from './facts.ts';

/** Which packs somebody needs, and what could not be found out. */
export interface PackNeeds {
  /** Numbers by label of the backup that wrote them; `all` where nothing of it may go. */
  readonly needed: ReadonlyMap<string, ReadonlySet<number> | 'all'>;
  /** Backups whose manifest would have to be read and cannot be. */
  readonly unknown: readonly string[];
}

/** Packs that published backups for which `isNeeded` holds name, and those that unfinished ones own or may come to name. */
export function packNeeds(facts: ExpiryFacts, isNeeded: (name: string) => boolean): PackNeeds {
  const needed = new Map<string, Set<number> | 'all'>();
  const unknown: string[] = [];
  const useAll = (name: string): void => void needed.set(name, 'all');
  const useOf = ({ backups }: EpochFacts, epoch: number, label: string): void => {
    const backup = backups.find((each) => each.label === label);
    // What an unfinished backup builds on may be unfinished as well.
    if (backup === undefined) return useAll(nameOf({ epoch, label }));
    if (backup.uses === undefined) unknown.push(label);
    for (const use of backup.uses ?? []) {
      const name = nameOf(use);
      const numbers = needed.get(name) ?? new Set();
      if (numbers !== 'all') needed.set(name, numbers.add(use.number));
    }
  };
  for (const epoch of facts.epochs) {
    for (const backup of epoch.backups) if (isNeeded(nameOf(backup))) useOf(epoch, epoch.epoch, backup.label);
    for (const unfinished of epoch.unfinished) {
      if (!isNeeded(nameOf(unfinished))) continue;
      useAll(nameOf(unfinished));
      for (const base of unfinished.bases) useOf(epoch, epoch.epoch, base);
    }
  }
  return { needed, unknown: [...new Set(unknown)] };
}

/** Those of the packs that nobody needs. */
export function unneeded({ needed }: PackNeeds, name: string, packs: Iterable<number>): number[] {
  const numbers = needed.get(name);
  if (numbers === 'all') return [];
  return [...packs].filter((number) => numbers?.has(number) !== true).toSorted((one, other) => one - other);
}
