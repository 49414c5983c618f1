import type { AccessFacet, StoreRole } from '@keyframe/contracts';
import type { GcsOptions } from './options.ts';

const READ = ['storage.buckets.get', 'storage.objects.get', 'storage.objects.list'];
const WRITE = ['storage.objects.create', 'storage.objects.setRetention', 'storage.objects.update'];
const REMOVE = 'storage.objects.delete';

/** Google asks for `delete` where an object is replaced, too. */
const PERMISSIONS: Readonly<Record<StoreRole, readonly string[]>> = {
  writer: [...READ, ...WRITE],
  restorer: READ,
  pruner: [...READ, ...WRITE, REMOVE],
  owner: [...READ, ...WRITE, REMOVE, 'storage.buckets.update'],
};

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** A custom role per task and its binding to the bucket, for objects under the prefix only. */
export function accessFacet({ bucket, prefix, project, kmsKey }: GcsOptions): AccessFacet {
  const owner = project ?? 'PROJECT';
  const home = `projects/_/buckets/${bucket}/objects/${prefix}`;
  const begins = (text: string): string => `resource.name.startsWith("${home}${text}")`;
  const binding = (name: string, permissions: readonly string[], expression: string | undefined): string[] => [
    `gcloud iam roles create ${name} --project=${owner} --permissions=${permissions.join(',')}`,
    `gcloud storage buckets add-iam-policy-binding gs://${bucket} \\`,
    `  --member=serviceAccount:ACCOUNT --role=projects/${owner}/roles/${name} \\`,
    `  --condition=${expression === undefined ? 'None' : quoted(`title=${name},expression=${expression}`)}`,
  ];
  return {
    policy: (role) => {
      const name = `keyframe${role.slice(0, 1).toUpperCase()}${role.slice(1)}`;
      // Listing and the bucket itself are rights on the bucket, which has no name of an object to compare.
      const here = prefix === '' ? undefined : `resource.type != "storage.googleapis.com/Object" || ${begins('')}`;
      const intents = `${begins('clusters/')} && resource.name.endsWith("/intent")`;
      const lines = [
        ...binding(name, PERMISSIONS[role], here),
        // Leases, intents and what a check wrote: none of them says what was saved.
        ...(role === 'writer'
          ? binding('keyframeLeases', [REMOVE], `${begins('leases/')} || ${begins('doctor/')} || (${intents})`)
          : []),
        ...(kmsKey === undefined ? [] : kmsLines(owner, kmsKey)),
      ];
      const note =
        'Put the service account in the place of ACCOUNT (and the project in that of PROJECT) and run this as an administrator of the bucket, which needs uniform access (`gcloud storage buckets update --uniform-bucket-level-access`).' +
        (role === 'writer' ? ' The writer can remove and replace leases, and nothing that was saved.' : '');
      return { language: 'sh', document: `${lines.join('\n')}\n`, note };
    },
  };
}

/** With a key of one's own it is Google's storage service that uses the key. */
function kmsLines(owner: string, kmsKey: string): string[] {
  return [`gcloud storage service-agent --project=${owner} --authorize-cmek=${kmsKey}`];
}
