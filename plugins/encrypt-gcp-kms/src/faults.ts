import { KeyframeError } from '@keyframe/contracts';

const text = (value: unknown, ...names: readonly string[]): string => {
  let at = value;
  for (const name of names) at = typeof at === 'object' && at !== null ? Reflect.get(at, name) : undefined;
  return typeof at === 'string' ? at : '';
};

/** What an answer other than 200 means. */
export function refused(keyId: string, action: string, status: number, body: unknown): KeyframeError {
  const said = text(body, 'error', 'message') || `status ${status}`;
  const state = text(body, 'error', 'status');
  const init = { details: { keyId, action, status, state } };
  const denied = (message: string, hint: string): KeyframeError =>
    new KeyframeError('ACCESS_DENIED', message, { ...init, hint });
  if (status === 404)
    return denied(`there is no key ${keyId} in Cloud KMS`, 'Correct `key` in `repositories.<name>.encrypt`.');
  if (/not enabled|DISABLED|DESTROY/.test(said))
    return denied(
      `a version of ${keyId} is disabled or destroyed: ${said}`,
      'Run `gcloud kms keys versions enable` or `restore` for it, or use another key of the repository.',
    );
  if (status === 401 || status === 403)
    return denied(
      `Cloud KMS refuses ${action} with ${keyId}: ${said}`,
      'Give the service account of this host roles/cloudkms.cryptoKeyEncrypter or cryptoKeyDecrypter on the key.',
    );
  if (status === 400)
    return denied(
      `Cloud KMS does not open this with ${keyId} and the context of this host: ${said}`,
      'Compare `key` and `context` in `repositories.<name>.encrypt` with those of the host that made the slot: `keyframe key list`.',
    );
  return unavailable(keyId, said, undefined);
}

/** The service did not answer, or not now. */
export function unavailable(keyId: string, said: string, cause: unknown): KeyframeError {
  return new KeyframeError('UNAVAILABLE', `Cloud KMS cannot be reached for ${keyId}: ${said}`, {
    cause,
    hint: 'Check the network; a host with `indexKey` archives WAL and takes backups meanwhile.',
    details: { keyId },
  });
}
