import { isKeyframeError, KeyframeError } from '@keyframe/contracts';

/** What an answer other than 200 means. */
export function refused(keyId: string, action: string, status: number, text: string): unknown {
  const said = /"message"\s*:\s*"(?<said>[^"]*)"/.exec(text)?.groups?.['said'] ?? `status ${status}`;
  const init = { details: { keyId, action, status } };
  const denied = (message: string, hint: string): KeyframeError =>
    new KeyframeError('ACCESS_DENIED', message, { ...init, hint });
  if (/disabled|not yet valid|expired|KeyDisabled|KeyNotYetValid/i.test(text) && status < 500)
    return denied(
      `the key ${keyId} is disabled or out of its time: ${said}`,
      'Run `az keyvault key set-attributes --enabled true` for that version, or use another key of the repository.',
    );
  if (status === 401 || status === 403)
    return denied(
      `Azure Key Vault refuses ${action} with ${keyId}: ${said}`,
      'Give the identity of this host the role `Key Vault Crypto Service Encryption User` on the key, or keys/wrapKey and keys/unwrapKey.',
    );
  if (status === 404)
    return denied(`there is no key ${keyId}: ${said}`, 'Correct `key` in `repositories.<name>.encrypt`.');
  if (status === 400)
    return denied(
      `Azure Key Vault does not open this with ${keyId}: ${said}`,
      'Compare `key` in `repositories.<name>.encrypt` with that of the host that made the slot: `keyframe key list`.',
    );
  return unavailable(keyId, new Error(said));
}

/** The service did not answer, or not now. */
export function unavailable(keyId: string, cause: unknown): unknown {
  if (isKeyframeError(cause)) return cause;
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  const said = inner instanceof Error ? inner.message : String(inner);
  return new KeyframeError('UNAVAILABLE', `Azure Key Vault cannot be reached for ${keyId}: ${said}`, {
    cause,
    hint: 'Check the network and the firewall of the vault; a host with `indexKey` archives WAL and takes backups meanwhile.',
    details: { keyId },
  });
}
