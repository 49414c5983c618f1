import { hasCode, KeyframeError, type RetentionFacet } from '@keyframe/contracts';
import type { Azure } from './azure.ts';
import { present } from './present.ts';

/** Immutability policies of versions, which the container must have been made for. */
export function retentionFacet(azure: Azure): RetentionFacet {
  return {
    enabled: async ({ signal } = {}) => {
      const head = await azure.headers({ method: 'HEAD', query: { restype: 'container' }, signal });
      return head['x-ms-immutable-storage-with-versioning-enabled'] === 'true';
    },
    until: async (key, { signal } = {}) => untilIn(await present(azure, key, signal)),
    extend: async (key, until, { signal, version } = {}) => {
      const found = await present(azure, key, signal, version);
      const current = untilIn(found);
      if (current !== undefined && current.getTime() >= until.getTime()) return;
      // What is locked already stays so: it cannot be unlocked.
      const mode = found['x-ms-immutability-policy-mode'] === 'locked' ? 'locked' : azure.options.retentionMode;
      try {
        await azure.headers({
          method: 'PUT',
          key,
          query: { comp: 'immutabilityPolicies', versionid: version },
          headers: {
            'x-ms-immutability-policy-until-date': wholeSecond(until).toUTCString(),
            'x-ms-immutability-policy-mode': mode,
          },
          signal,
        });
      } catch (error) {
        throw notMadeForIt(azure, error);
      }
    },
  };
}

/** The service keeps whole seconds: rounded up, so that the lock is never shorter than asked for. */
export const wholeSecond = (time: Date): Date => new Date(Math.ceil(time.getTime() / 1_000) * 1_000);

function untilIn(head: Readonly<Record<string, unknown>>): Date | undefined {
  const text = head['x-ms-immutability-policy-until-date'];
  return typeof text === 'string' && text !== '' ? new Date(text) : undefined;
}

/** The container was not made for locks: then the service refuses any word of one. */
export function notMadeForIt({ options, account }: Azure, error: unknown): unknown {
  const said = hasCode(error, 'INVALID_OPTION', 'CONFLICT') ? String(error.details['azure']) : 'BlobAlreadyExists';
  if (/^Blob(AlreadyExists|Immutable)|ConditionNotMet|ContainerNotFound/.test(said)) return error;
  return new KeyframeError('UNSUPPORTED', `objects of the container ${options.container} cannot be locked: ${said}`, {
    cause: error,
    hint: `Allow it: \`az storage container-rm migrate-vlw --storage-account ${account.name} --name ${options.container}\`.`,
  });
}
