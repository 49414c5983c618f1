import { type Abortable, hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { readIdentity } from '../identity.ts';
import { IDENTITY_KEY } from '../keys.ts';
import { putOnce } from '../objects/put-once.ts';
import type { ClusterContext } from '../stored-cluster.ts';
import { lostEpochs } from './lost-epochs.ts';
import { lostIdentity } from './lost-identity.ts';
import type { LostRoots } from './lost-roots.ts';

/** The roots of the repository in one store. `open` is called once its identity is there. */
export function createRoots(store: Store, open: (options: Abortable) => Promise<ClusterContext>): LostRoots {
  return {
    find: async (options = {}) => {
      const fault = await identityFault(store, options);
      if (fault === undefined) return lostEpochs(await open(options), options);
      if (store.copies !== undefined) throw lostEverywhere(fault);
      const lost = await lostIdentity(store, isMissing(fault) ? 'missing' : 'damaged', options);
      // Nothing is here at all: that is no loss, it is another place.
      if (lost === undefined) throw fault;
      return [lost];
    },
    bringBack: async ({ key, fault, content }, { signal } = {}) => {
      if (content === undefined)
        throw new KeyframeError('CORRUPT', `the object ${key} cannot be brought back: nothing that is left tells it`, {
          hint: 'Put the object back from a copy of the store, then run `keyframe verify`.',
          details: { key },
        });
      if (fault === 'damaged') await store.delete([key], { signal });
      await putOnce(store, key, bytesOf(content), signal);
    },
  };
}

/** A mirror reads no store that does not say which repository it holds. */
function lostEverywhere(cause: KeyframeError): KeyframeError {
  return new KeyframeError('REPOSITORY_MISSING', 'no store of the repository has a whole keyframe.json', {
    cause,
    hint: 'Check that the stores are mounted; if it is lost in all of them, run `keyframe repository rebuild --store <name>` for one.',
  });
}

async function identityFault(store: Store, { signal }: Abortable): Promise<KeyframeError | undefined> {
  try {
    await readIdentity(store, signal);
    return undefined;
  } catch (error) {
    if (isMissing(error)) return error;
    if (hasCode(error, 'CORRUPT') && error.details['key'] === IDENTITY_KEY) return error;
    throw error;
  }
}

function isMissing(error: unknown): error is KeyframeError {
  return hasCode(error, 'REPOSITORY_MISSING');
}
