import { KeyframeError, type ErrorDetails } from '@keyframe/contracts';

/** An object whose bytes are not the ones that were written. Names the object, so that a person can look at it. */
export function damaged(
  key: string,
  what: string,
  init: { cause?: unknown; details?: ErrorDetails } = {},
): KeyframeError {
  return new KeyframeError('CORRUPT', `the object ${key} is damaged: ${what}`, {
    cause: init.cause,
    hint: 'Check the storage under the repository, keep the object for inspection, and run `keyframe verify`; `keyframe backup --type full --no-reuse` builds on nothing that is there.',
    details: { key, ...init.details },
  });
}

/** An object written by a release that knows more than this one. */
export function tooNew(key: string, what: string): KeyframeError {
  return new KeyframeError('REPOSITORY_FORMAT', `the object ${key} needs a newer Keyframe: ${what}`, {
    hint: 'Upgrade Keyframe on this host, then run the command again; `keyframe --version` prints what runs now.',
    details: { key },
  });
}

/** Paths in a manifest are relative, plain and inside the data directory. */
export function isPlainPath(path: string): boolean {
  return !path.includes('\0') && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}
