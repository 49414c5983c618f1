import { KeyframeError } from '@keyframe/contracts';
import type { Repository, RepositoryContext } from './repository.ts';

/** Opens a repository. No I/O: the first operation does it. */
export function openRepository(context: RepositoryContext): Repository {
  throw new KeyframeError('INTERNAL', `not there yet: ${context.compressor.id}`);
}
