import { KeyframeError, type ReplicationFacet } from '@keyframe/contracts';
import type { Gcs } from './gcs.ts';

interface Bucket {
  readonly location?: string;
  readonly locationType?: string;
  readonly rpo?: string;
  readonly metageneration?: string;
  readonly customPlacementConfig?: { readonly dataLocations?: readonly string[] };
}

const describe = ({ location = 'unknown', locationType = 'unknown', customPlacementConfig }: Bucket): string => {
  const places = customPlacementConfig?.dataLocations?.join(' and ') ?? location;
  return `${locationType} ${places}`;
};

/** Google copies within a bucket: a dual-region one, in 15 minutes at most with turbo replication (rpo ASYNC_TURBO). */
export function replicationFacet(gcs: Gcs): ReplicationFacet {
  const { bucket } = gcs.options;
  const ask = (signal: AbortSignal | undefined): Promise<Bucket> =>
    gcs.json<Bucket>({
      method: 'GET',
      path: gcs.bucketPath,
      query: { fields: 'location,locationType,rpo,metageneration,customPlacementConfig' },
      signal,
    });
  return {
    read: async ({ signal } = {}) => {
      const found = await ask(signal);
      if (found.locationType === undefined || found.locationType === 'region') return [];
      return [`${describe(found)}, rpo ${found.rpo ?? 'DEFAULT'}`];
    },
    plan: async ({ signal } = {}) => {
      const problems = problemsOf(bucket, await ask(signal));
      return { document: `gcloud storage buckets update gs://${bucket} --rpo=ASYNC_TURBO\n`, problems };
    },
    apply: async ({ signal } = {}) => {
      const found = await ask(signal);
      const [problem] = problemsOf(bucket, found);
      if (problem !== undefined)
        throw new KeyframeError('UNSUPPORTED', problem, {
          hint: `Make a dual-region bucket, or add a second store: \`gcloud storage buckets create --placement=REGION1,REGION2\`.`,
        });
      if (found.rpo === 'ASYNC_TURBO') return;
      await gcs.done({
        method: 'PATCH',
        path: gcs.bucketPath,
        query: { ifMetagenerationMatch: found.metageneration, fields: 'rpo' },
        json: { rpo: 'ASYNC_TURBO' },
        signal,
      });
    },
  };
}

function problemsOf(bucket: string, found: Bucket): string[] {
  if (found.locationType === 'dual-region') return [];
  return [`the bucket ${bucket} is in ${describe(found)}: only dual-region buckets have turbo replication`];
}
