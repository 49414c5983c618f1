import { randomBytes } from 'node:crypto';
import { type Abortable, hasCode, isKeyframeError, KeyframeError, type Secret, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import type { RepositoryIdentity } from '../identity.ts';
import { createOnly } from '../objects/put-once.ts';
import type { EncryptionContext, KeySlot, KeyState, NamedEncryptor, RepositoryKeys, SlotProof } from './encryption.ts';
import { keyRequired } from './faults.ts';
import { indexText } from './index-text.ts';
import type { KeyInventory } from './key-inventory.ts';
import { encodeGeneration, generationKey, sealGeneration } from './generation-object.ts';
import {
  encodeRemoval,
  encodeSlot,
  type GenerationSecrets,
  sealBundle,
  slotKeyName,
  type SlotObject,
} from './slot-object.ts';
import type { Keyring } from './keyring.ts';
import { KEY_BYTES, newKeyPair } from './sealed-key.ts';
import { candidates, indexOf, isFor, openSlot, unlock, unwrapsHere } from './unlock.ts';

/** What administering keys works with. */
export interface KeyAdministrationContext {
  readonly store: Store;
  readonly identity: (options: Abortable) => Promise<RepositoryIdentity>;
  readonly keyring: Keyring;
  readonly encryption: EncryptionContext | undefined;
  readonly now: () => Date;
}

/** A generation whose slots are being written. */
interface Draft {
  readonly generation: number;
  readonly publicKey: Buffer;
  readonly secrets: readonly GenerationSecrets[];
}

/** Keys as objects that are only ever created. */
export class KeyAdministration implements RepositoryKeys {
  readonly #context: KeyAdministrationContext;

  constructor(context: KeyAdministrationContext) {
    this.#context = context;
  }

  async list(options: Abortable = {}): Promise<KeyState> {
    const inventory = await this.#fresh(options);
    const { generations, slots } = inventory;
    const told: KeySlot[] = [];
    const tried = new Map<string, KeySlot['here']>();
    // The newest generation first: a slot has the same key in those before, and each try costs a tenth of a second.
    for (const slot of slots.toReversed()) {
      const described = await this.#describe(slot, options);
      const here = tried.get(slot.slot) ?? (await this.#tried(slot, described, inventory, options));
      if (!slot.asymmetric) tried.set(slot.slot, here);
      told.unshift({ ...described, here });
    }
    return {
      generations: generations.map(({ generation, createdAt, plainBefore }) => ({
        generation,
        createdAt,
        plainBefore,
      })),
      slots: told,
    };
  }

  async add(options: Abortable = {}): Promise<readonly KeySlot[]> {
    const inventory = await this.#fresh(options);
    const newest = inventory.generations.at(-1);
    if (newest === undefined) return this.begin(options);
    const live = inventory.slots.filter(({ generation }) => generation === newest.generation);
    await this.#assertPassphrases(live, inventory, options);
    const missing = this.#encryptors().filter((named) => !live.some((slot) => isFor(slot, named)));
    if (missing.length === 0) return [];
    const { secrets } = await this.#unlockNewest(inventory, options);
    const draft = { generation: newest.generation, publicKey: newest.publicKey, secrets };
    const added: SlotObject[] = [];
    for (const named of missing) added.push(await this.#write(draft, named, undefined, inventory, options));
    this.#context.keyring.forget();
    return Promise.all(added.map((slot) => this.#describe(slot, options)));
  }

  /** Begins the first generation. @throws {KeyframeError} CONFLICT when somebody else was faster */
  async begin(options: Abortable = {}): Promise<readonly KeySlot[]> {
    const inventory = await this.#fresh(options);
    const plainBefore = !(await this.#context.identity(options)).encrypted;
    const { privateKey, publicKey } = newKeyPair();
    const secrets = { generation: 1, privateKey, indexKey: randomBytes(KEY_BYTES) };
    const draft = { generation: 1, publicKey, secrets: [secrets] };
    const slots: SlotObject[] = [];
    for (const named of this.#encryptors()) slots.push(await this.#write(draft, named, undefined, inventory, options));
    await this.#publish(draft, plainBefore, options);
    return Promise.all(slots.map((slot) => this.#describe(slot, options)));
  }

  async encrypts(options: Abortable = {}): Promise<boolean> {
    return (await this.#context.keyring.writing(options)) !== undefined;
  }

  async remove(slot: string, options: Abortable = {}): Promise<readonly KeySlot[]> {
    const inventory = await this.#fresh(options);
    if (inventory.generations.length === 0)
      throw keyRequired(
        'the repository has no keys: it is not encrypted',
        'Run `keyframe key add` to begin encrypting.',
      );
    const removed = inventory.slots.filter((each) => each.slot === slot);
    if (removed.length === 0)
      throw new KeyframeError('NOT_FOUND', `there is no slot ${slot} in use`, {
        hint: 'Name one of those that `keyframe key list` prints.',
        details: { slot },
      });
    await this.#assertOther(slot, inventory, options);
    const removedAt = this.#context.now().toISOString();
    for (const { generation } of removed) {
      const number = (inventory.numbers.get(`${generation}/${slot}`) ?? 0) + 1;
      const key = slotKeyName(generation, slot, number);
      const bytes = encodeRemoval(generation, slot, number, removedAt);
      if (!(await createOnly(this.#context.store, key, bytesOf(bytes), options.signal))) throw changedMeanwhile();
    }
    this.#context.keyring.forget();
    return Promise.all(removed.map((each) => this.#describe(each, options)));
  }

  async rotate(options: Abortable = {}): Promise<KeyState> {
    const inventory = await this.#fresh(options);
    const newest = inventory.generations.at(-1);
    if (newest === undefined)
      throw keyRequired('the repository has no keys to rotate', 'Run `keyframe key add` to begin encrypting.');
    const live = inventory.slots.filter(({ generation }) => generation === newest.generation);
    const pairs = live.map((slot) => ({ slot, named: this.#encryptors().find((named) => isFor(slot, named)) }));
    const lacking = pairs.filter(({ named }) => named === undefined).map(({ slot }) => slot.slot);
    if (lacking.length > 0) throw notConfigured(lacking);
    await this.#assertPassphrases(live, inventory, options);
    const { secrets } = await this.#unlockNewest(inventory, options);
    const { privateKey, publicKey } = newKeyPair();
    const generation = newest.generation + 1;
    const draft = {
      generation,
      publicKey,
      secrets: [...secrets, { generation, privateKey, indexKey: randomBytes(KEY_BYTES) }],
    };
    for (const { slot, named } of pairs)
      if (named !== undefined) await this.#write(draft, named, slot.slot, inventory, options);
    await this.#publish(draft, false, options);
    return this.list(options);
  }

  async test(options: Abortable = {}): Promise<readonly SlotProof[]> {
    const inventory = await this.#fresh(options);
    const proofs: SlotProof[] = [];
    for (const slot of inventory.slots) {
      const { here: _, ...told } = await this.#describe(slot, options);
      proofs.push({ ...told, ...(await this.#try(slot, inventory, options)) });
    }
    for (const { generation, slot, fault } of inventory.damaged)
      proofs.push({ generation, slot, result: 'fails', reason: fault.message });
    return proofs;
  }

  async exportIndex(options: Abortable = {}): Promise<Secret> {
    const { secrets } = await this.#unlockNewest(await this.#fresh(options), options);
    return indexText(secrets);
  }

  #encryptors(): readonly NamedEncryptor[] {
    const encryptors = this.#context.encryption?.encryptors ?? [];
    if (encryptors.length === 0)
      throw keyRequired(
        'this configuration names no key',
        'Add `encrypt` to `repositories.<name>`, for instance a passphrase from a file.',
      );
    return encryptors;
  }

  #fresh(options: Abortable): Promise<KeyInventory> {
    this.#context.keyring.forget();
    return this.#context.keyring.inventory(options);
  }

  async #unlockNewest(
    inventory: KeyInventory,
    options: Abortable,
  ): Promise<{ readonly secrets: readonly GenerationSecrets[] }> {
    const { encryption } = this.#context;
    const { id } = await this.#context.identity(options);
    this.#encryptors();
    const { secrets } = await unlock(encryption ?? { encryptors: [] }, inventory, id, options);
    const all = inventory.generations.map(({ generation }) => secrets.get(generation));
    if (all.includes(undefined))
      throw keyRequired(
        'the keys of this host do not open the newest generation',
        'Run this on a host that opens it: `keyframe key list` shows the slots.',
      );
    return { secrets: all.filter((each) => each !== undefined) };
  }

  /** Wraps a new slot key and puts the bundle under it. `name`: the slot's own in another generation. */
  async #write(
    draft: Draft,
    named: NamedEncryptor,
    name: string | undefined,
    { numbers }: KeyInventory,
    options: Abortable,
  ): Promise<SlotObject> {
    const { generation, publicKey, secrets } = draft;
    const { kind, encryptor } = named;
    const { id: repositoryId } = await this.#context.identity(options);
    const slotKey = randomBytes(KEY_BYTES);
    const wrapped = Buffer.from(await encryptor.wrap(slotKey, options));
    const asymmetric = encryptor.asymmetric === true;
    const createdAt = this.#context.now().toISOString();
    const taken = new Set([...numbers.keys()].map((each) => each.slice(each.indexOf('/') + 1)));
    const base = slotName(named);
    for (let count = 1; ; count += 1) {
      const slot = name ?? (count === 1 ? base : `${base}${count}`);
      if (name === undefined && taken.has(slot)) continue;
      const number = name === undefined ? 1 : (numbers.get(`${generation}/${slot}`) ?? 0) + count;
      const key = slotKeyName(generation, slot, number);
      const bundle = sealBundle(slotKey, secrets, { repositoryId, key });
      const told = { generation, slot, number, encryptor: kind, keyId: encryptor.keyId, asymmetric };
      const object = { ...told, createdAt, publicKey, wrapped, bundle };
      const { store } = this.#context;
      if (await createOnly(store, key, bytesOf(encodeSlot(object)), options.signal)) return { key, ...object };
    }
  }

  /** A generation is in use from here on. */
  async #publish({ generation, publicKey, secrets }: Draft, plainBefore: boolean, options: Abortable): Promise<void> {
    const { id } = await this.#context.identity(options);
    const [before, own] = [secrets.at(-2), secrets.at(-1)];
    if (own === undefined) throw new KeyframeError('INTERNAL', 'a generation without secrets');
    const createdAt = this.#context.now().toISOString();
    const plain = { generation, createdAt, plainBefore, publicKey };
    const object = sealGeneration(plain, indexOf(own, id), before && indexOf(before, id), id);
    const source = bytesOf(encodeGeneration(object));
    const isFirst = await createOnly(this.#context.store, generationKey(generation), source, options.signal);
    this.#context.keyring.forget();
    if (!isFirst) throw changedMeanwhile();
  }

  /** What is left must be proven to open everything, and here: a slot nobody can try is no reason to be content. */
  async #assertOther(slot: string, inventory: KeyInventory, options: Abortable): Promise<void> {
    const { id } = await this.#context.identity(options);
    const newest = inventory.generations.at(-1)?.generation ?? 0;
    const rest = {
      ...inventory,
      slots: inventory.slots.filter((each) => each.slot !== slot && each.generation === newest),
    };
    const init = { details: { slot } };
    if (rest.slots.length === 0)
      throw new KeyframeError('KEY_LAST', `${slot} is the last slot: without it nobody could read the repository`, {
        ...init,
        hint: 'Add another key to `repositories.<name>.encrypt` and run `keyframe key add` first.',
      });
    try {
      await unlock({ encryptors: this.#encryptors() }, rest, id, options);
    } catch (error) {
      if (!hasCode(error, 'KEY_REQUIRED', 'KEY_WRONG')) throw error;
      throw new KeyframeError('KEY_LAST', `no slot but ${slot} is proven to open the repository from here`, {
        ...init,
        cause: error,
        hint: 'Run `keyframe key remove` on a host that opens the repository by another slot: `keyframe key test` tells.',
      });
    }
  }

  /**
   * A slot is found by the name of its key, and a passphrase has the same name after it was changed. Passed over here, the
   * old one would be thrown away while it alone opens the repository, or the next generation be closed to it.
   */
  async #assertPassphrases(slots: readonly SlotObject[], inventory: KeyInventory, options: Abortable): Promise<void> {
    const { id } = await this.#context.identity(options);
    for (const named of this.#encryptors())
      for (const slot of slots.filter((each) => !each.asymmetric && isFor(each, named)))
        try {
          await openSlot(slot, named, inventory, id, options);
        } catch (error) {
          if (!hasCode(error, 'ACCESS_DENIED')) throw error;
          throw new KeyframeError('KEY_WRONG', `the slot ${slot.slot} is there, and not for this: ${error.message}`, {
            cause: error,
            hint: 'For another passphrase add a second entry with a `name` of its own beside the old one, then run `keyframe key add` and `keyframe key remove`.',
            details: { slot: slot.slot },
          });
        }
  }

  async #describe(slot: SlotObject, options: Abortable): Promise<KeySlot> {
    const named = (this.#context.encryption?.encryptors ?? []).find((each) => isFor(slot, each));
    const { generation, encryptor, keyId, asymmetric, createdAt } = slot;
    const able = asymmetric ? 'private-key' : 'read-write';
    const here = named === undefined ? 'unknown' : (await unwrapsHere(named, options)) ? able : 'write-only';
    return {
      slot: slot.slot,
      generation,
      encryptor,
      keyId,
      asymmetric,
      createdAt,
      configured: named !== undefined,
      here,
    };
  }

  async #tried(
    slot: SlotObject,
    { here }: KeySlot,
    inventory: KeyInventory,
    options: Abortable,
  ): Promise<KeySlot['here']> {
    if (here !== 'read-write') return here;
    const { result } = await this.#try(slot, inventory, options);
    return result === 'opens' ? here : 'fails';
  }

  async #try(
    slot: SlotObject,
    inventory: KeyInventory,
    options: Abortable,
  ): Promise<Pick<SlotProof, 'result' | 'reason'>> {
    const { id } = await this.#context.identity(options);
    const fitting = (this.#context.encryption?.encryptors ?? []).filter((named) =>
      candidates(inventory, slot.generation, named).includes(slot),
    );
    const reasons: string[] = [];
    let failed = false;
    for (const named of fitting) {
      if (!(await unwrapsHere(named, options))) {
        reasons.push('this host has its public key only');
        continue;
      }
      try {
        await openSlot(slot, named, inventory, id, options);
        return { result: 'opens', reason: undefined };
      } catch (error) {
        if (!isKeyframeError(error)) throw error;
        failed ||= isFor(slot, named) || error.code === 'CORRUPT';
        reasons.push(error.message);
      }
    }
    if (fitting.length === 0) reasons.push('this configuration has no such key');
    return { result: failed ? 'fails' : 'not-tested', reason: reasons.join('; ') };
  }
}

/** A passphrase has a name that its owner chose, a public key one that nobody types. */
function slotName({ kind, encryptor }: NamedEncryptor): string {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]/gu, '');
  return (encryptor.asymmetric === true ? '' : plain(encryptor.keyId)) || plain(kind) || 'key';
}

function changedMeanwhile(): KeyframeError {
  return new KeyframeError('CONFLICT', 'the keys of the repository were changed by somebody else just now', {
    hint: 'Run `keyframe key list` to see what they are now.',
  });
}

function notConfigured(slots: readonly string[]): KeyframeError {
  return new KeyframeError('CONFLICT', `the new generation would be closed to ${slots.join(', ')}`, {
    hint: 'Name their keys in `repositories.<name>.encrypt` (public keys will do), or take them out of use with `keyframe key remove` first.',
    details: { slots: slots.join(', ') },
  });
}
