import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Abortable, type Encryptor, hasCode, type Host, KeyframeError, type Secret } from '@keyframe/contracts';

/** Options of this encryptor. */
export interface GpgOptions {
  /** Fingerprints (best) or addresses of public keys in the keyring; any of their private keys opens. */
  readonly recipients: readonly string[];
  /** Keyring directory. Default: gpg's own. */
  readonly home: string | undefined;
  /** Of the private key. Default: gpg-agent knows it, or a card, or it has none. */
  readonly passphrase: Secret | undefined;
  readonly program: string;
}

/** Never asks anybody and looks nowhere else for keys; `always`: the recipients were named in the config file. */
const QUIET = ['--batch', '--no-tty', '--quiet', '--no-auto-key-locate', '--no-auto-key-retrieve', '--yes'];
const WRAP = ['--trust-model', 'always', '--no-encrypt-to', '--compress-algo', 'none', '--encrypt'];

/** An OpenPGP message around the key: `gpg --decrypt` opens it too. */
export function createGpgEncryptor(options: GpgOptions, host: Host): Encryptor {
  const { recipients, home, passphrase, program } = options;
  const keyId = recipients.join(', ');
  const common = [...QUIET, ...(home === undefined ? [] : ['--homedir', home])];
  const gpg = async (args: readonly string[], input: Uint8Array, signal: AbortSignal | undefined): Promise<Buffer> => {
    // Its words are read where it fails, so they must be the C locale's.
    const environment = { LC_ALL: 'C', LANGUAGE: 'C' };
    const { stdout } = await host.exec(program, [...common, ...args], {
      input,
      environment,
      ...(signal === undefined ? {} : { signal }),
    });
    return stdout;
  };

  const decrypt = async (wrapped: Uint8Array, signal: AbortSignal | undefined): Promise<Buffer> => {
    if (passphrase === undefined) return gpg(['--decrypt'], wrapped, signal);
    // Its standard input carries the passphrase, which no argument may; what is wrapped is no secret.
    const file = path.join(await host.temporaryDirectory(), 'wrapped.gpg');
    await writeFile(file, wrapped);
    const loopback = ['--pinentry-mode', 'loopback', '--passphrase-fd', '0', '--decrypt', file];
    return gpg(loopback, Buffer.from(`${passphrase.reveal()}\n`), signal);
  };

  return {
    keyId,
    canUnwrap: true,
    asymmetric: true,
    unwrapsHere: async ({ signal }: Abortable = {}) => {
      for (const recipient of recipients)
        try {
          await gpg(['--with-colons', '--list-secret-keys', recipient], new Uint8Array(), signal);
          return true;
        } catch (error) {
          if (!isStatus(error)) throw translated(error, program);
        }
      return false;
    },
    wrap: async (dataKey, { signal } = {}) => {
      signal?.throwIfAborted();
      try {
        return await gpg([...WRAP, ...recipients.flatMap((each) => ['--recipient', each])], dataKey, signal);
      } catch (error) {
        throw isStatus(error) ? notWrapped(error, keyId) : translated(error, program);
      }
    },
    unwrap: async (wrapped, { signal } = {}) => {
      signal?.throwIfAborted();
      let key: Buffer;
      try {
        key = await decrypt(wrapped, signal);
      } catch (error) {
        throw isStatus(error) ? notUnwrapped(error, keyId) : translated(error, program);
      }
      // Of nothing gpg makes nothing, and is content.
      if (key.length === 0) throw new KeyframeError('CORRUPT', 'a key wrapped by gpg is empty', { details: { keyId } });
      return key;
    },
  };
}

/** True when the program ran and said no. */
function isStatus(error: unknown): error is KeyframeError {
  return hasCode(error, 'INTERNAL') && typeof error.details['status'] === 'number';
}

function translated(error: unknown, program: string): unknown {
  if (!hasCode(error, 'NOT_FOUND')) return error;
  return new KeyframeError('UNSUPPORTED', `there is no program ${program}`, {
    cause: error,
    hint: 'Install GnuPG on this host, or name it by `program` in `repositories.<name>.encrypt`.',
    details: { program },
  });
}

function notWrapped(error: KeyframeError, keyId: string): KeyframeError {
  return new KeyframeError('INVALID_OPTION', `gpg cannot encrypt to ${keyId}: ${error.message}`, {
    cause: error,
    hint: 'Import the public keys with `gpg --import`, and check `recipients` and `home` in `repositories.<name>.encrypt`; a key must not be expired.',
    details: { keyId },
  });
}

function notUnwrapped(error: KeyframeError, keyId: string): KeyframeError {
  const init = { cause: error, details: { keyId } };
  if (/no secret key/i.test(error.message))
    return new KeyframeError('ACCESS_DENIED', `the keyring holds no private key for ${keyId}`, {
      ...init,
      hint: 'Run this on a host that holds the private key, or import it and check `home` in `repositories.<name>.encrypt`.',
    });
  if (/passphrase|pinentry|cancel|agent|card|ioctl/i.test(error.message))
    return new KeyframeError('ACCESS_DENIED', `gpg could not use the private key: ${error.message}`, {
      ...init,
      hint: 'Give `passphrase` in `repositories.<name>.encrypt`, or unlock the key in gpg-agent first.',
    });
  return new KeyframeError('CORRUPT', `gpg cannot read a wrapped key: ${error.message}`, init);
}
