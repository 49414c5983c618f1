import { type Encryptor, KeyframeError, type Secret } from '@keyframe/contracts';

/** Options of this encryptor. */
export interface AgeOptions {
  /** Public keys, `age1…`; any of their private keys opens. */
  readonly recipients: readonly string[];
  /** Content of an identity file, as `age-keygen` writes it. Without it this host can write and not read. */
  readonly identity: Secret | undefined;
}

const IDENTITY = /^AGE-SECRET-KEY-[A-Z0-9-]+$/;

/** The lines of an identity file that are keys. */
export function identitiesIn(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => IDENTITY.test(line));
}

/** An age file around the key: `age --decrypt` opens it too. */
export function createAgeEncryptor({ recipients, identity }: AgeOptions): Encryptor {
  const keyId = recipients.toSorted().join(', ');
  return {
    keyId,
    canUnwrap: identity !== undefined,
    asymmetric: true,
    wrap: async (dataKey, { signal } = {}) => {
      const { Encrypter } = await import('age-encryption');
      signal?.throwIfAborted();
      const encrypter = new Encrypter();
      for (const recipient of recipients) add(recipient, (text) => encrypter.addRecipient(text));
      const wrapped = await encrypter.encrypt(Uint8Array.from(dataKey));
      signal?.throwIfAborted();
      return wrapped;
    },
    unwrap: async (wrapped, { signal } = {}) => {
      if (identity === undefined) throw noIdentity(keyId);
      const { Decrypter } = await import('age-encryption');
      signal?.throwIfAborted();
      const decrypter = new Decrypter();
      for (const each of identitiesIn(identity.reveal())) decrypter.addIdentity(each);
      try {
        return await decrypter.decrypt(Uint8Array.from(wrapped), 'uint8array');
      } catch (error) {
        throw refused(error, keyId);
      }
    },
  };
}

function add(recipient: string, addTo: (recipient: string) => void): void {
  try {
    addTo(recipient);
  } catch (error) {
    throw new KeyframeError('INVALID_OPTION', `${recipient} is no age recipient`, {
      cause: error,
      hint: 'Correct `recipients` in `repositories.<name>.encrypt`: each is a whole `age1…` as `age-keygen -y` prints it.',
    });
  }
}

function noIdentity(keyId: string): KeyframeError {
  return new KeyframeError('ACCESS_DENIED', `this host has no age identity for ${keyId}`, {
    hint: 'Give `identity` in `repositories.<name>.encrypt` on a host that may read.',
    details: { keyId },
  });
}

/** The library says in words which of the two it was. */
function refused(error: unknown, keyId: string): KeyframeError {
  if (error instanceof Error && /no identity matched/i.test(error.message))
    return new KeyframeError('ACCESS_DENIED', 'the age identity of this host is none of the recipients', {
      cause: error,
      hint: 'Check `identity` in `repositories.<name>.encrypt`; `keyframe key list` shows the recipients of each slot.',
      details: { keyId },
    });
  return new KeyframeError('CORRUPT', 'a key wrapped by age is damaged', { cause: error, details: { keyId } });
}
