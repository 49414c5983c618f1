import { open } from 'node:fs/promises';
import { KeyframeError } from '@keyframe/contracts';
import { newSigningKey } from '@keyframe/repository';

/**
 * Writes a new private key for signing to a file that was not there, readable by its owner alone.
 * @throws {KeyframeError} ALREADY_EXISTS, ACCESS_DENIED
 */
export async function createSigningKey(file: string): Promise<{ readonly keyId: string; readonly publicKey: string }> {
  const { pem, keyId, publicKey } = newSigningKey();
  const handle = await open(file, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    const exists = error.code === 'EEXIST';
    throw new KeyframeError(
      exists ? 'ALREADY_EXISTS' : 'ACCESS_DENIED',
      exists ? `${file} exists` : `the key cannot be written to ${file}: ${error.message}`,
      {
        cause: error,
        hint: exists
          ? 'Name another file with --to; a key that is there is never replaced.'
          : 'Name a file with --to in a directory that is there and that this user may write to.',
      },
    );
  });
  try {
    await handle.writeFile(pem);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { keyId, publicKey };
}
