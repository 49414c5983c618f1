import type { AccessFacet, StoreRole } from '@keyframe/contracts';
import type { GcsOptions } from './options.ts';

const READ = ['storage.objects.get', 'storage.objects.list'];

/** Google asks for `delete` where an object is replaced, and for `setRetention` where one is locked. */
const PERMISSIONS: Readonly<Record<StoreRole, readonly string[]>> = {
  writer: [...READ, 'storage.objects.create', 'storage.objects.setRetention', 'storage.objects.update'],
  restorer: READ,
  pruner: [...READ, 'storage.objects.create', 'storage.objects.delete'],
  owner: [
    ...READ,
    'storage.objects.create',
    'storage.objects.delete',
    'storage.objects.setRetention',
    'storage.objects.update',
    'storage.buckets.get',
    'storage.buckets.update',
  ],
};

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** A custom role per task and its binding to the bucket, for objects under the prefix only. */
export function accessFacet({ bucket, prefix, project, kmsKey }: GcsOptions): AccessFacet {
  return {
    policy: (role) => {
      const name = `keyframe${role.slice(0, 1).toUpperCase()}${role.slice(1)}`;
      const owner = project ?? 'PROJECT';
      const permissions = PERMISSIONS[role].join(',');
      // Listing and the bucket itself are rights on the bucket, which has no name of an object to compare.
      const condition = `resource.type != "storage.googleapis.com/Object" || resource.name.startsWith("projects/_/buckets/${bucket}/objects/${prefix}")`;
      const lines = [
        `gcloud iam roles create ${name} --project=${owner} --permissions=${permissions}`,
        `gcloud storage buckets add-iam-policy-binding gs://${bucket} \\`,
        `  --member=serviceAccount:ACCOUNT --role=projects/${owner}/roles/${name}${prefix === '' ? '' : ' \\'}`,
        ...(prefix === '' ? [] : [`  --condition=${quoted(`title=keyframe-${role},expression=${condition}`)}`]),
        ...(kmsKey === undefined ? [] : kmsLines(owner, kmsKey)),
      ];
      const note =
        'Put the service account in the place of ACCOUNT (and the project in that of PROJECT) and run this as an administrator of the bucket.' +
        (role === 'writer' ? ' The writer can neither remove nor replace an object.' : '');
      return { language: 'sh', document: `${lines.join('\n')}\n`, note };
    },
  };
}

/** With a key of one's own it is Google's storage service that uses the key. */
function kmsLines(owner: string, kmsKey: string): string[] {
  return [`gcloud storage service-agent --project=${owner} --authorize-cmek=${kmsKey}`];
}
