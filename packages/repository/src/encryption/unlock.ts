import { type Abortable, hasCode, type KeyframeError } from '@keyframe/contracts';
import { damaged } from '../objects/damage.ts';
import type { EncryptionContext, NamedEncryptor } from './encryption.ts';
import { keyRequired, keyWrong } from './faults.ts';
import { IndexKeys } from './index-keys.ts';
import type { KeyInventory } from './key-inventory.ts';
import { assertGeneration } from './generation-object.ts';
import { type GenerationSecrets, openBundle, type SlotObject } from './slot-object.ts';
import { publicKeyOf } from './sealed-key.ts';

/** Secrets of every generation up to one, and the slot that gave them. */
export interface Unlocked {
  readonly secrets: ReadonlyMap<number, GenerationSecrets>;
  /** Undefined right after the generation was begun here. */
  readonly by: SlotObject | undefined;
}

/** Whether an encryptor of the config file is the one that a slot was made by. */
export function isFor(slot: SlotObject, { kind, encryptor }: NamedEncryptor): boolean {
  return slot.encryptor === kind && slot.keyId === encryptor.keyId;
}

/**
 * Opens one slot and proves what is in it.
 * @throws {KeyframeError} ACCESS_DENIED, CORRUPT, UNSUPPORTED
 */
export async function openSlot(
  slot: SlotObject,
  { encryptor }: NamedEncryptor,
  inventory: KeyInventory,
  repositoryId: string,
  options: Abortable,
): Promise<Unlocked> {
  const slotKey = await encryptor.unwrap(slot.wrapped, options);
  const secrets = new Map(openBundle(slotKey, slot, repositoryId).map((each) => [each.generation, each]));
  for (const object of inventory.generations.filter(({ generation }) => generation <= slot.generation)) {
    const [own, before] = [secrets.get(object.generation), secrets.get(object.generation - 1)];
    if (own === undefined) throw damaged(slot.key, `it lacks the keys of generation ${object.generation}`);
    if (!publicKeyOf(own.privateKey).equals(object.publicKey))
      throw damaged(slot.key, `its keys are not those of generation ${object.generation}`);
    assertGeneration(object, indexOf(own, repositoryId), before && indexOf(before, repositoryId), repositoryId);
  }
  return { secrets, by: slot };
}

export function indexOf({ generation, indexKey }: GenerationSecrets, repositoryId: string): IndexKeys {
  return new IndexKeys(generation, indexKey, repositoryId);
}

/**
 * Opens the newest generation that one of the encryptors opens.
 * @throws {KeyframeError} KEY_REQUIRED when nothing here can read, KEY_WRONG, UNAVAILABLE when a key service does not answer
 */
export async function unlock(
  { encryptors }: Pick<EncryptionContext, 'encryptors'>,
  inventory: KeyInventory,
  repositoryId: string,
  { signal }: Abortable = {},
): Promise<Unlocked> {
  const able = encryptors.filter(({ encryptor }) => encryptor.canUnwrap);
  const faults: KeyframeError[] = [];
  let away: KeyframeError | undefined;
  const attempts = inventory.generations
    .toReversed()
    .flatMap(({ generation }) =>
      able.flatMap((named) => candidates(inventory, generation, named).map((slot) => ({ named, slot }))),
    );
  for (const { named, slot } of attempts)
    try {
      return await openSlot(slot, named, inventory, repositoryId, { signal });
    } catch (error) {
      // A key service that is away: another key may open.
      if (hasCode(error, 'UNAVAILABLE')) away ??= error;
      else if (hasCode(error, 'ACCESS_DENIED', 'CORRUPT', 'UNSUPPORTED')) faults.push(error);
      else throw error;
    }
  // The one that would open it may be the one that did not answer: that is no wrong key.
  if (away !== undefined) throw away;
  if (!(await anyUnwrapsHere(able, { signal })))
    throw keyRequired(
      'this host holds public keys only: it can write and not read',
      'Run this on a host whose `repositories.<name>.encrypt` names a private key or a passphrase.',
    );
  throw keyWrong([...new Set(faults.map(({ message }) => message))], faults[0]);
}

/** Of one generation and kind; those with the same key id first. Another one may be for a key that this host has, too. */
export function candidates({ slots }: KeyInventory, generation: number, named: NamedEncryptor): SlotObject[] {
  return slots
    .filter((slot) => slot.generation === generation && slot.encryptor === named.kind)
    .toSorted((one, other) => Number(isFor(other, named)) - Number(isFor(one, named)));
}

async function anyUnwrapsHere(able: readonly NamedEncryptor[], options: Abortable): Promise<boolean> {
  for (const named of able) if (await unwrapsHere(named, options)) return true;
  return false;
}

/** Whether an encryptor has a private key on this host, as far as it can tell. */
export async function unwrapsHere({ encryptor }: NamedEncryptor, options: Abortable): Promise<boolean> {
  if (!encryptor.canUnwrap) return false;
  try {
    return (await encryptor.unwrapsHere?.(options)) ?? true;
  } catch (error) {
    if (!hasCode(error, 'UNSUPPORTED')) throw error;
    return false;
  }
}
