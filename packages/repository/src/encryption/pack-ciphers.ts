import type { OtherPack } from '../backup/pack-table.ts';
import { damaged } from '../objects/damage.ts';
import { Recent } from '../objects/recent.ts';
import { decodeSealedKey, type Keyring } from './keyring.ts';
import type { ObjectCipher } from './object-cipher.ts';

/** Windows of several packs are read at once, and a base is spread over some dozens. */
const KEPT = 64;

/** Opens the data keys of packs as manifests list them; keeps the last ones. */
export class PackCiphers {
  readonly #keyring: Keyring;
  readonly #recent = new Recent<string, ObjectCipher>(KEPT);

  constructor(keyring: Keyring) {
    this.#keyring = keyring;
  }

  /** Undefined for a pack that is not encrypted. @throws {KeyframeError} KEY_REQUIRED, KEY_WRONG, CORRUPT */
  of(
    { key, line }: Pick<OtherPack, 'key' | 'line'>,
    signal: AbortSignal | undefined,
  ): Promise<ObjectCipher> | undefined {
    const { sealedKey } = line;
    if (sealedKey === undefined) return undefined;
    return this.#recent.get(key, () => {
      const sealed = decodeSealedKey(Buffer.from(sealedKey));
      if (sealed === undefined) throw damaged(key, 'the manifest lists it with a key of another length');
      return this.#keyring.data(sealed, key, { signal });
    });
  }
}
