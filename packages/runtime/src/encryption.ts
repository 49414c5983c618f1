import type { Host, Log } from '@keyframe/contracts';
import type { EncryptionContext } from '@keyframe/repository';
import type { RepositoryConfiguration } from './configuration.ts';

/** How the file says that a repository is encrypted; undefined: it is not to be. */
export function encryptionOf(
  { encrypt, indexKey }: Pick<RepositoryConfiguration, 'encrypt' | 'indexKey'>,
  host: Host,
  log: Log,
): EncryptionContext | undefined {
  if (encrypt.length === 0 && indexKey === undefined) return undefined;
  const encryptors = encrypt.map((adapter) => ({ kind: adapter.kind, encryptor: adapter.create(host) }));
  return { encryptors, indexKey, warn: (message) => log.warn(message) };
}
