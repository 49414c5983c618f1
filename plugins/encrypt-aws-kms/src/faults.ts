import { isKeyframeError, KeyframeError } from '@keyframe/contracts';

/** Runs a request, turning what the service or the network says into a {@link KeyframeError}. An abort passes through. */
export async function translated<T>(
  keyId: string,
  action: string,
  signal: AbortSignal | undefined,
  request: () => Promise<T>,
): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason;
    throw isKeyframeError(error) ? error : translate(keyId, action, error);
  }
}

const DENIED =
  /AccessDenied|UnrecognizedClient|InvalidClientToken|InvalidSignature|SignatureDoesNotMatch|ExpiredToken/i;

function translate(keyId: string, action: string, cause: unknown): KeyframeError {
  const name = cause instanceof Error ? cause.name : '';
  const said = cause instanceof Error ? cause.message || name : String(cause);
  const init = { cause, details: { keyId, action, said: name } };
  const denied = (text: string, hint: string): KeyframeError =>
    new KeyframeError('ACCESS_DENIED', text, { ...init, hint });
  if (/InvalidCiphertext|IncorrectKey/.test(name))
    return denied(
      `AWS KMS does not open this with ${keyId} and the encryption context of this host (${name})`,
      'Compare `key` and `context` in `repositories.<name>.encrypt` with those of the host that made the slot: `keyframe key list`.',
    );
  if (/Disabled|KMSInvalidState|PendingDeletion/.test(name))
    return denied(
      `the key ${keyId} is disabled or is to be deleted: ${said}`,
      'Run `aws kms cancel-key-deletion` and `aws kms enable-key` for it, or use another key of the repository.',
    );
  if (name === 'NotFoundException')
    return denied(
      `there is no key ${keyId} in AWS KMS`,
      'Correct `key` and `region` in `repositories.<name>.encrypt`: an alias begins with `alias/`.',
    );
  if (/CredentialsProvider|CredentialsError|Region is missing/i.test(`${name} ${said}`))
    return denied(
      `AWS KMS cannot be asked: ${said}`,
      'Give this host credentials (environment, profile, role of the machine) and `region` in `repositories.<name>.encrypt`.',
    );
  if (DENIED.test(name))
    return denied(
      `AWS KMS refuses ${action} with ${keyId}: ${said}`,
      `Give this host's role ${action} on the key, with the context \`purpose: keyframe\`; \`aws sts get-caller-identity\` tells the role.`,
    );
  if (name === 'InvalidKeyUsageException' || name === 'ValidationException')
    return new KeyframeError('INVALID_OPTION', `AWS KMS cannot use ${keyId} for this: ${said}`, {
      ...init,
      hint: 'Name a symmetric key by `key`, or an RSA key for encryption together with its `publicKey`.',
    });
  return new KeyframeError('UNAVAILABLE', `AWS KMS cannot be reached for ${keyId}: ${said}`, {
    ...init,
    hint: 'Check the network and `endpoint`; a host with `indexKey` archives WAL and takes backups meanwhile.',
  });
}
