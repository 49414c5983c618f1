import { hasCode, KeyframeError, type RetentionFacet } from '@keyframe/contracts';
import type { Gcs } from './gcs.ts';
import { statResource } from './read.ts';
import type { Resource } from './resource.ts';

interface Bucket {
  readonly objectRetention?: { readonly mode?: string };
}

/** Object retention, which the bucket must have been made for. What a retention policy of the bucket holds counts, too. */
export function retentionFacet(gcs: Gcs): RetentionFacet {
  return {
    enabled: async ({ signal } = {}) => {
      const query = { fields: 'objectRetention' };
      const { objectRetention } = await gcs.json<Bucket>({ method: 'GET', path: gcs.bucketPath, query, signal });
      return objectRetention?.mode === 'Enabled';
    },
    until: async (key, { signal } = {}) => retainedUntil(await present(gcs, key, signal)),
    extend: async (key, until, { signal, version } = {}) => {
      const found = await present(gcs, key, signal, version);
      const current = found.retention?.retainUntilTime;
      if (current !== undefined && Date.parse(current) >= until.getTime()) return;
      // What is locked already stays in its mode: it cannot be unlocked.
      const mode = found.retention?.mode === 'Locked' ? 'Locked' : gcs.options.retentionMode;
      const unlocked = found.retention?.mode === 'Unlocked' ? { overrideUnlockedRetention: 'true' } : {};
      try {
        await gcs.done({
          method: 'PATCH',
          path: gcs.objectPath(key),
          query: { generation: version ?? found.generation, ...unlocked, fields: 'retention' },
          json: { retention: { mode, retainUntilTime: until.toISOString() } },
          key,
          signal,
        });
      } catch (error) {
        throw notMadeForIt(gcs, error);
      }
    },
  };
}

async function present(gcs: Gcs, key: string, signal: AbortSignal | undefined, generation?: string): Promise<Resource> {
  const found = await statResource(gcs, key, signal, generation);
  if (found === undefined) throw new KeyframeError('NOT_FOUND', `object '${key}' does not exist`, { details: { key } });
  return found;
}

/** The later one of the object's own retention and of what the bucket prescribes. */
function retainedUntil({ retention, retentionExpirationTime }: Resource): Date | undefined {
  const times = [retention?.retainUntilTime, retentionExpirationTime].flatMap((text) =>
    text === undefined ? [] : [Date.parse(text)],
  );
  return times.length === 0 ? undefined : new Date(Math.max(...times));
}

/** The bucket was not made for locks: then the service refuses any word of one. */
export function notMadeForIt(gcs: Gcs, error: unknown): unknown {
  if (!hasCode(error, 'INVALID_OPTION')) return error;
  const { bucket } = gcs.options;
  return new KeyframeError('UNSUPPORTED', `objects of the bucket ${bucket} cannot be locked: ${error.message}`, {
    cause: error,
    hint: `Allow it: \`gcloud storage buckets update gs://${bucket} --enable-per-object-retention\`.`,
  });
}
