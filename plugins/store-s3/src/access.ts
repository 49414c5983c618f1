import type { AccessFacet, StoreRole } from '@keyframe/contracts';
import type { S3Options } from './options.ts';

/** What writing takes beside reading. A lock at write takes a right of its own. */
const WRITE = ['s3:PutObject', 's3:AbortMultipartUpload', 's3:PutObjectRetention'];
const READ = ['s3:GetObject'];
/** To prove that what is there is locked, tagged and encrypted as it should be. */
const LOOK = ['s3:GetObjectRetention', 's3:GetObjectTagging', 's3:GetObjectVersion'];

/** Where each role may remove objects: a writer what says who writes, and what it did not finish. */
const OBJECT_RIGHTS: Readonly<Record<StoreRole, readonly string[]>> = {
  writer: [...READ, ...LOOK, ...WRITE, 's3:PutObjectTagging'],
  restorer: [...READ, 's3:GetObjectVersion', 's3:RestoreObject'],
  pruner: [...READ, ...LOOK, ...WRITE, 's3:PutObjectTagging', 's3:DeleteObject', 's3:DeleteObjectVersion'],
  owner: [
    ...READ,
    ...LOOK,
    ...WRITE,
    's3:PutObjectTagging',
    's3:RestoreObject',
    's3:DeleteObject',
    's3:DeleteObjectVersion',
  ],
};

const BUCKET_RIGHTS: Readonly<Record<StoreRole, readonly string[]>> = {
  writer: ['s3:GetBucketVersioning', 's3:GetBucketObjectLockConfiguration'],
  restorer: ['s3:GetBucketVersioning'],
  pruner: ['s3:GetBucketVersioning', 's3:GetBucketObjectLockConfiguration'],
  owner: [
    's3:GetBucketVersioning',
    's3:GetBucketObjectLockConfiguration',
    's3:GetLifecycleConfiguration',
    's3:PutLifecycleConfiguration',
    's3:GetReplicationConfiguration',
    's3:PutReplicationConfiguration',
  ],
};

/** Leases, intents and what a check wrote: none of them says what was saved. */
const WRITER_REMOVES = ['leases/*', 'doctor/*', 'clusters/*/intent'];

/** IAM policies: for users and roles of AWS, MinIO and Ceph alike. */
export function accessOf(options: S3Options): AccessFacet {
  return {
    policy: (role) => ({
      language: 'json',
      document: JSON.stringify({ Version: '2012-10-17', Statement: statementsOf(role, options) }, undefined, 2),
      note: `An IAM policy. Attach it to the user or role that runs Keyframe as ${role}.`,
    }),
  };
}

interface Statement {
  readonly Sid: string;
  readonly Effect: 'Allow';
  readonly Action: readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: object;
}

function statementsOf(role: StoreRole, { bucket, prefix, region, sse }: S3Options): Statement[] {
  const partition =
    region?.startsWith('cn-') === true ? 'aws-cn' : region?.startsWith('us-gov-') === true ? 'aws-us-gov' : 'aws';
  const arn = `arn:${partition}:s3:::${bucket}`;
  const only = prefix === '' ? {} : { Condition: { StringLike: { 's3:prefix': [`${prefix}*`] } } };
  const statements: Statement[] = [
    {
      Sid: 'List',
      Effect: 'Allow',
      Action: ['s3:ListBucket', ...(role === 'writer' ? [] : ['s3:ListBucketVersions'])],
      Resource: arn,
      ...only,
    },
    { Sid: 'Bucket', Effect: 'Allow', Action: BUCKET_RIGHTS[role], Resource: arn },
    { Sid: 'Objects', Effect: 'Allow', Action: OBJECT_RIGHTS[role], Resource: `${arn}/${prefix}*` },
  ];
  if (role === 'writer')
    statements.push({
      Sid: 'Leases',
      Effect: 'Allow',
      Action: ['s3:DeleteObject'],
      Resource: WRITER_REMOVES.map((what) => `${arn}/${prefix}${what}`),
    });
  if (sse?.kind === 'kms' && sse.key?.startsWith('arn:') === true)
    statements.push({
      Sid: 'Key',
      Effect: 'Allow',
      Action: role === 'restorer' ? ['kms:Decrypt'] : ['kms:Decrypt', 'kms:GenerateDataKey'],
      Resource: sse.key,
    });
  return statements;
}
