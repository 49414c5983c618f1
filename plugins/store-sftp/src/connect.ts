import { KeyframeError, type Log } from '@keyframe/contracts';
import type { Client, ConnectConfig, ServerHostKeyAlgorithm } from 'ssh2';
import { fingerprintOf, type HostPins, pinsFor } from './host-keys.ts';
import type { SftpStoreOptions } from './options.ts';

/** Until the server has let us in. */
const CONNECT_MS = 20_000;
/** A peer that answers none of three is gone. */
const KEEPALIVE_MS = 10_000;
const KEEPALIVES = 3;

const HOST_KEY_ALGORITHMS: readonly ServerHostKeyAlgorithm[] = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
];

/** What was seen of the server's key, for the message when it is refused. */
export interface SeenHostKey {
  fingerprint: string | undefined;
}

/** `user@host:port`, for messages. */
export const addressOf = ({ user, host, port }: SftpStoreOptions): string => `${user}@${host}:${port}`;

/** Makes one connection. The caller ends it. @throws {KeyframeError} UNAVAILABLE, ACCESS_DENIED, UNSUPPORTED, INVALID_OPTION */
export async function connect(options: SftpStoreOptions, seen: SeenHostKey, log: Log): Promise<Client> {
  const { default: ssh2 } = await import('ssh2');
  const client = new ssh2.Client();
  const pins = pinsFor(options, options.host, options.port);
  const shown: SeenHostKey = { fingerprint: undefined };
  const verify = (key: Buffer): boolean => {
    const fingerprint = fingerprintOf(key);
    shown.fingerprint = fingerprint;
    if (!options.acceptAnyHostKey) return pins.accepts(fingerprint);
    if (seen.fingerprint === undefined)
      log.warn(`the host key ${fingerprint} of ${options.host} is taken without proof`, { host: options.host });
    seen.fingerprint ??= fingerprint;
    return seen.fingerprint === fingerprint;
  };
  client.on('error', () => undefined); // an event that nobody hears would end the process
  try {
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => client.setNoDelay(true)); // each request would else wait for the answer to another
      client.once('ready', resolve);
      client.once('error', reject);
      client.once('close', () => reject(new Error('closed by the server')));
      client.on('keyboard-interactive', (_name, _instructions, _language, prompts, finish) =>
        finish(prompts.map(() => options.password?.reveal() ?? '')),
      );
      client.connect(configuration(options, pins, verify));
    });
  } catch (error) {
    client.destroy();
    throw refused(
      error,
      options,
      shown.fingerprint,
      seen.fingerprint === undefined ? pins.fingerprints : [seen.fingerprint],
    );
  }
  return client;
}

function configuration(
  { host, port, user, privateKey, passphrase, password, agent }: SftpStoreOptions,
  { types }: HostPins,
  hostVerifier: (key: Buffer) => boolean,
): ConnectConfig {
  const isKnown = (algorithm: string): boolean => types.includes(algorithm.replace(/^rsa-sha2-\d+$/, 'ssh-rsa'));
  return {
    host,
    port,
    username: user,
    ...(privateKey && { privateKey: privateKey.reveal() }),
    ...(passphrase && { passphrase: passphrase.reveal() }),
    ...(password && { password: password.reveal(), tryKeyboard: true }),
    ...(agent !== undefined && { agent }),
    hostVerifier,
    readyTimeout: CONNECT_MS,
    keepaliveInterval: KEEPALIVE_MS,
    keepaliveCountMax: KEEPALIVES,
    algorithms: {
      // Node has AES-GCM in hardware; the library's ChaCha20 would be WebAssembly.
      cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr', 'aes192-ctr', 'aes256-ctr'],
      // The server chooses by our order: it shall show a key that we know.
      serverHostKey: HOST_KEY_ALGORITHMS.toSorted((one, other) => Number(isKnown(other)) - Number(isKnown(one))),
      compress: ['none'],
    },
  };
}

function refused(
  cause: unknown,
  options: SftpStoreOptions,
  shown: string | undefined,
  expected: readonly string[],
): KeyframeError {
  const where = addressOf(options);
  const { host, port } = options;
  const said = cause instanceof Error ? cause.message : String(cause);
  const level = cause instanceof Error && 'level' in cause ? cause.level : undefined;
  const init = { cause, details: { host, port, hostKey: shown } };
  if (/host denied|verification failed/i.test(said)) return wrongHostKey(where, shown, expected, init);
  if (level === 'client-authentication')
    return new KeyframeError('ACCESS_DENIED', `${where} refused to log in: ${said}`, {
      ...init,
      hint: `Add the public key to the authorized keys of '${options.user}' on the server, or correct \`user\`, \`privateKey\`, \`agent\` or \`password\` of the store.`,
    });
  if (/parse privatekey|passphrase|agent/i.test(said))
    return new KeyframeError('INVALID_OPTION', `the key for ${where} cannot be used: ${said}`, {
      ...init,
      hint: 'Correct `privateKey`, `passphrase` or `agent` of the store: `ssh-keygen -yf FILE` tells whether a key file is sound.',
    });
  if (level === 'handshake' && /no matching/i.test(said))
    return new KeyframeError('UNSUPPORTED', `${where} speaks no algorithm that is safe and known here: ${said}`, {
      ...init,
      hint: 'Allow AES-GCM or AES-CTR and a current key exchange in the configuration of the SSH server.',
    });
  return new KeyframeError('UNAVAILABLE', `${where} cannot be reached: ${said}`, {
    ...init,
    hint: `Check \`host\` and \`port\` of the store and whether the SSH server runs: ssh-keyscan -p ${port} ${host}.`,
  });
}

function wrongHostKey(
  where: string,
  shown: string | undefined,
  expected: readonly string[],
  init: { readonly cause: unknown; readonly details: Readonly<Record<string, string | number | undefined>> },
): KeyframeError {
  const known = expected.length === 0 ? '`knownHosts` has none for it' : `expected is ${expected.join(' or ')}`;
  return new KeyframeError('ACCESS_DENIED', `${where} shows the host key ${shown}, and ${known}`, {
    ...init,
    hint: 'Ask the administrator of the server whether its key was changed; only then correct `hostKey` or `knownHosts` of the store.',
  });
}
