import { KeyframeError } from '@keyframe/contracts';

/** The repository is encrypted, and the configuration has nothing for it. */
export function keyRequired(what: string, hint: string, cause?: unknown): KeyframeError {
  return new KeyframeError('KEY_REQUIRED', what, { hint, cause });
}

/** Keys are there, and none of them fits. */
export function keyWrong(reasons: readonly string[], cause?: unknown): KeyframeError {
  const why = reasons.length === 0 ? 'no slot is for one of them' : reasons.join('; ');
  return new KeyframeError('KEY_WRONG', `no key of this configuration opens the repository: ${why}`, {
    cause,
    hint: 'Check `repositories.<name>.encrypt`; `keyframe key list` shows what opens the repository, `keyframe key test` what opens it here.',
  });
}

/** The configuration asks for encryption, and the repository has none. */
export function notEncrypted(): KeyframeError {
  return new KeyframeError('NOT_ENCRYPTED', 'the repository is not encrypted, and `encrypt` says that it shall be', {
    hint: 'Run `keyframe key add` once: what is written from then on is encrypted; what is there stays as it is.',
  });
}

/** The repository was encrypted from its beginning, and has no keys. */
export function keysLost(): KeyframeError {
  return new KeyframeError('CORRUPT', 'the repository is encrypted, and its keys below keys/ are missing', {
    hint: 'Bring back `keys/` from another copy of the store; if the repository is new, run `keyframe repository create` again.',
    details: { key: 'keys/' },
  });
}
