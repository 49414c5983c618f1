import { hasCode, type KeyframeError, type Store } from '@keyframe/contracts';
import { readSealed } from '../objects/with-copies.ts';
import { decodeGeneration, type GenerationObject, generationKey, KEYS_PREFIX } from './generation-object.ts';
import { decodeSlot, type SlotObject } from './slot-object.ts';

const SLOT = /^keys\/([1-9]\d*)\/([a-z0-9]+)-([1-9]\d*)$/u;
const GENERATION = /^keys\/([1-9]\d*)\/generation\.json$/u;
/** Key ids of frames have 16 bits. */
const GENERATION_LIMIT = 65_535;

/** What lies below `keys/`. */
export interface KeyInventory {
  /** In use, oldest first. */
  readonly generations: readonly GenerationObject[];
  /** In use, oldest generation first, then by name. */
  readonly slots: readonly SlotObject[];
  /** The highest number of each slot ever written, by `<generation>/<slot>`. */
  readonly numbers: ReadonlyMap<string, number>;
  /** Slots that cannot be read. They open nothing, and stop nobody who has another key. */
  readonly damaged: readonly { readonly generation: number; readonly slot: string; readonly fault: KeyframeError }[];
}

/** Lists and reads all keys. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export async function readKeyInventory(store: Store, signal: AbortSignal | undefined): Promise<KeyInventory> {
  const written = new Map<string, number[]>();
  const begun: number[] = [];
  for await (const { key } of store.list(KEYS_PREFIX, { signal })) {
    const generation = GENERATION.exec(key)?.[1];
    if (generation !== undefined && Number(generation) <= GENERATION_LIMIT) begun.push(Number(generation));
    const [, of, slot, number = '0'] = SLOT.exec(key) ?? [];
    if (of === undefined) continue;
    const name = `${of}/${slot}`;
    written.set(name, [...(written.get(name) ?? []), Number(number)]);
  }
  const generations = await Promise.all(
    begun
      .toSorted((one, other) => one - other)
      .map(async (each) => decodeGeneration(await readSealed(store, generationKey(each), signal), generationKey(each))),
  );
  const damaged: KeyInventory['damaged'][number][] = [];
  const found = await Promise.all(
    [...written].map(async ([name, numbers]) => {
      try {
        return await liveSlot(store, name, numbers, generations, signal);
      } catch (error) {
        if (!hasCode(error, 'CORRUPT')) throw error;
        const [generation = '', slot = ''] = name.split('/');
        damaged.push({ generation: Number(generation), slot, fault: error });
        return undefined;
      }
    }),
  );
  const slots = found
    .filter((slot) => slot !== undefined)
    .toSorted((one, other) => one.generation - other.generation || (one.slot < other.slot ? -1 : 1));
  const numbers = new Map([...written].map(([name, all]) => [name, Math.max(...all)]));
  return { generations, slots, numbers, damaged };
}

/**
 * The highest number wins. One for another public key does not count: it is of a generation that was never begun, or that
 * somebody else began first, and nothing is written with its keys.
 */
async function liveSlot(
  store: Store,
  name: string,
  numbers: readonly number[],
  generations: readonly GenerationObject[],
  signal: AbortSignal | undefined,
): Promise<SlotObject | undefined> {
  for (const number of numbers.toSorted((one, other) => other - one)) {
    const key = `${KEYS_PREFIX}${name}-${number}`;
    const slot = decodeSlot(await readSealed(store, key, signal), key);
    if (slot === undefined) return undefined;
    const own = generations.find(({ generation }) => generation === slot.generation);
    if (own?.publicKey.equals(slot.publicKey) === true) return slot;
  }
  return undefined;
}
