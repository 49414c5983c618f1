import { isKeyframeError, KeyframeError } from '@keyframe/contracts';

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** True when a file is proven not to be there. */
export function isAbsent(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
}

/** Why a file of the data directory cannot be read, as the error to raise. */
export function fileFault(error: unknown, place: string): unknown {
  if (isKeyframeError(error) || (error instanceof Error && error.name === 'AbortError')) return error;
  switch (codeOf(error) ?? '') {
    case 'EACCES':
    case 'EPERM':
      return new KeyframeError('ACCESS_DENIED', `this user may not read ${place}`, {
        cause: error,
        hint: 'Run `keyframe backup` as the user that PostgreSQL runs as, or read by a connection instead of local files.',
      });
    case 'ENOENT':
    case 'ENOTDIR':
      return new KeyframeError('NOT_FOUND', `${place} does not exist`, {
        cause: error,
        hint: 'Compare with `show data_directory` and `select pg_tablespace_location(oid) from pg_tablespace`.',
      });
    default:
      return new KeyframeError('UNAVAILABLE', `${place} cannot be read: ${messageOf(error)}`, {
        cause: error,
        hint: 'Look for disk errors with `dmesg`, then run `keyframe backup` again.',
      });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
