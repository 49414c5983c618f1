import { hasCode } from '@keyframe/contracts';
import { KnownDamage } from '../damage/known-damage.ts';
import type { EpochContext } from '../epoch-context.ts';
import { Tombstones } from '../retention/tombstones.ts';
import type { BaseMap } from './base-map.ts';
import type { UnfinishedBackup } from './catalogue.ts';
import { isResumable } from './remove.ts';
import type { StoredBase } from './stored-base.ts';
import { UnfinishedContent } from './unfinished-content.ts';
import type { InterruptedBackup, NewFile } from './writer.ts';

/** Interrupted backups that the next one looks into. */
const RESUMED = 3;

/**
 * Unfinished backups worth looking into: those that stored much and that no expiry has its eye on.
 * Nobody but an expiry removes the packs of one that stored as much, see {@link isResumable}.
 */
export async function chooseUnfinished(
  context: EpochContext,
  unfinished: readonly UnfinishedBackup[],
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const candidates = unfinished.filter(({ storedBytes }) => isResumable(context, storedBytes));
  if (candidates.length === 0) return [];
  const { state } = await new Tombstones(context.store, context.cluster).read({ signal });
  const isDoomed = (label: string): boolean =>
    state.backups.some((each) => each.epoch === context.epoch.number && each.label === label);
  const labels = candidates.map(({ label }) => label).filter((label) => !isDoomed(label));
  return labels.toSorted().slice(-RESUMED);
}

/** What other backups hold of each file. */
export class EarlierContent {
  readonly #base: StoredBase | undefined;
  readonly #unfinished: readonly UnfinishedContent[];

  private constructor(base: StoredBase | undefined, unfinished: readonly UnfinishedContent[]) {
    this.#base = base;
    this.#unfinished = unfinished;
  }

  /** The intent that names all of them must be written. */
  static async open(
    context: EpochContext,
    base: StoredBase | undefined,
    labels: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<EarlierContent> {
    const unfinished: UnfinishedContent[] = [];
    const damage =
      labels.length === 0 ? new Map() : await new KnownDamage(context.store, context.cluster).read({ signal });
    const isSuspect = (key: string): boolean => damage.has(key);
    for (const label of labels.toReversed())
      unfinished.push(await UnfinishedContent.open(context, label, signal, isSuspect));
    return new EarlierContent(base, unfinished);
  }

  /** Unfinished backups that say where they began; the newest first. */
  get interrupted(): readonly InterruptedBackup[] {
    return this.#unfinished.map((each) => each.interrupted).filter((each) => each !== undefined);
  }

  /** Whether the base has that pack already. */
  inBase(label: string, number: number): boolean {
    return this.#base?.namesPack(label, number) ?? false;
  }

  /** The base first. What is damaged is no help, and no fault: the content is stored. */
  async find({ path, rawPath }: NewFile, signal: AbortSignal): Promise<readonly BaseMap[]> {
    if (rawPath !== undefined) return [];
    const base = orNothing(this.#base?.find(path, { signal }).then((file) => file?.map));
    const rest = this.#unfinished.map((each) => orNothing(each.find(path, signal)));
    return (await Promise.all([base, ...rest])).filter((map) => map !== undefined);
  }
}

async function orNothing(map: Promise<BaseMap | undefined> | undefined): Promise<BaseMap | undefined> {
  try {
    return await map;
  } catch (error) {
    if (!hasCode(error, 'CORRUPT')) throw error;
    return undefined;
  }
}
