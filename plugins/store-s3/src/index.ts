/** `@keyframe/store-s3`: objects in a bucket of Amazon S3 or of a server that speaks its protocol. @packageDocumentation */
import { definePlugin, type Plugin, Secret } from '@keyframe/contracts';
import { z } from 'zod';
import type { S3Options } from './options.ts';
import { createS3Store } from './s3-store.ts';

const secret = z
  .string()
  .min(1)
  .transform((text) => new Secret(text));

const KEY_BYTES = 32;

const bucketName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/, {
  error: 'must be the name of a bucket, without s3://',
});

const sse = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('s3') }),
    z.strictObject({
      kind: z.literal('kms'),
      key: z.string().min(1).optional().describe('ARN, id or alias of the key. Default: what the bucket prescribes.'),
      context: z.record(z.string(), z.string()).optional().describe('Encryption context, bound to every object.'),
      bucketKey: z.boolean().optional().describe('Fewer requests to KMS by one key per bucket and while.'),
    }),
    z.strictObject({
      kind: z.literal('customer'),
      key: z
        .string()
        .refine((text) => Buffer.from(text, 'base64').length === KEY_BYTES, { error: 'must be 32 bytes in base64' })
        .transform((text) => new Secret(text))
        .describe('Key of 32 bytes in base64 that every request brings: whoever loses it loses every object.'),
    }),
  ])
  .describe('Encryption by the store: kind s3, kms, or customer. Default: what the bucket prescribes.');

const replicateTo = z
  .strictObject({
    bucket: bucketName.describe('Bucket that gets the copies. It must keep versions.'),
    role: z.string().regex(/^arn:/, { error: 'must be an ARN' }).describe('Role that the store takes on to copy.'),
    account: z.string().min(1).optional().describe('Account that owns the copies. Default: ours.'),
    storageClass: z.string().min(1).optional().describe("Class of the copies. Default: the original's."),
  })
  .describe('Where the bucket itself copies to, for `keyframe replication`.');

const places = {
  bucket: bucketName.describe('Name of the bucket. It must exist.'),
  prefix: z
    .string()
    .regex(/^(?!\/)(?!.*\/\/)(?!(.*\/)?\.{1,2}(\/|$))[^\0\r\n]*$/, { error: 'must be a plain relative path' })
    .transform((text) => (text === '' || text.endsWith('/') ? text : `${text}/`))
    .default('')
    .describe('Folder of the bucket that all objects lie in.'),
  region: z
    .string()
    .min(1)
    .optional()
    .describe('Region of the bucket. Default: as the SDK finds it (environment, profile); us-east-1 with `endpoint`.'),
  endpoint: z
    .url({ protocol: /^https?$/, error: 'must be an address that begins with https:// or http://' })
    .transform((text) => text.replace(/\/+$/, ''))
    .optional()
    .describe('Address of a server other than AWS: MinIO, Ceph, R2, Wasabi, a private endpoint.'),
  pathStyle: z
    .boolean()
    .optional()
    .describe(
      'The bucket in the path of the address, not in its host name. Default: true where `endpoint` is not AWS.',
    ),
};

const credentials = {
  profile: z.string().min(1).optional().describe('Profile of ~/.aws/config, single sign-on included.'),
  accessKeyId: secret.optional().describe('Access key, such as ${env:S3_KEY}. Needs `secretAccessKey`.'),
  secretAccessKey: secret.optional().describe('Its secret, such as ${file:/etc/keyframe/s3-secret}.'),
  sessionToken: secret.optional().describe('Its session token, for keys that expire.'),
  roleArn: z
    .string()
    .regex(/^arn:/, { error: 'must be an ARN' })
    .optional()
    .describe('Role that is taken on with these credentials.'),
  externalId: z.string().min(1).optional().describe('External id that the role asks for.'),
  webIdentityTokenFile: z
    .string()
    .regex(/^\/./, { error: 'must be an absolute path' })
    .optional()
    .describe('File with an OIDC token that takes on `roleArn` (IRSA sets it by the environment alone).'),
};

const seconds = (fallback: number, most: number) => z.number().positive().max(most).default(fallback);

const transfer = {
  checksums: z
    .enum(['crc32', 'when-required'])
    .default('crc32')
    .describe('crc32: stored with every object. when-required: for servers that refuse it, such as Ceph 16.'),
  conditionalWrites: z
    .enum(['probe', 'trust', 'none'])
    .optional()
    .describe(
      'Whether create-only writes are proven before the first of them, trusted, or not asked for. Default: trust for AWS, else probe.',
    ),
  sse: sse.optional(),
  storageClass: z.string().min(1).optional().describe("Storage class of new objects. Default: the bucket's own."),
  lockMode: z
    .enum(['compliance', 'governance'])
    .default('compliance')
    .describe('Mode of object lock. governance: who has the right to may lift it.'),
  requesterPays: z.boolean().default(false).describe('We pay for requests, where the bucket asks for that.'),
  replicateTo: replicateTo.optional(),
  partMiB: z
    .int()
    .min(5)
    .max(1024)
    .default(40)
    .describe('MiB of an object held in memory; larger ones are sent in parts of this size. The default holds a pack.'),
  concurrency: z.int().min(1).max(64).default(2).describe('Parts of one object sent at once.'),
  connections: z.int().min(1).max(1024).default(32).describe('Connections at once.'),
  connectTimeoutSeconds: seconds(10, 600).describe('Longest wait for a connection, seconds.'),
  stallTimeoutSeconds: seconds(30, 3600).describe('Longest time without a byte in either direction, seconds.'),
  proxy: z
    .url({ protocol: /^https?$/, error: 'must be an address that begins with http:// or https://' })
    .optional()
    .describe('HTTP proxy that requests go through.'),
  certificateAuthority: z
    .string()
    .includes('-----BEGIN CERTIFICATE-----', { error: 'must be certificates in PEM' })
    .optional()
    .describe('Certificates in PEM that are trusted besides those of Node, such as ${file:/etc/keyframe/ca.pem}.'),
};

const options = z
  .strictObject({ ...places, ...credentials, ...transfer })
  .refine((all) => (all.accessKeyId === undefined) === (all.secretAccessKey === undefined), {
    path: ['secretAccessKey'],
    error: 'must be set together with `accessKeyId`',
  })
  .refine((all) => all.sessionToken === undefined || all.accessKeyId !== undefined, {
    path: ['sessionToken'],
    error: 'needs `accessKeyId`',
  })
  .refine((all) => all.profile === undefined || all.accessKeyId === undefined, {
    path: ['profile'],
    error: 'cannot be set together with `accessKeyId`',
  })
  .refine((all) => all.externalId === undefined || all.roleArn !== undefined, {
    path: ['externalId'],
    error: 'needs `roleArn`',
  })
  .refine((all) => all.webIdentityTokenFile === undefined || all.roleArn !== undefined, {
    path: ['webIdentityTokenFile'],
    error: 'needs `roleArn`',
  })
  .refine((all) => all.sse?.kind !== 'customer' || !(all.endpoint?.startsWith('http:') ?? false), {
    path: ['sse'],
    error: 'a key of our own must not travel without TLS: use an https:// endpoint',
  });

const plugin: Plugin<'store', S3Options> = definePlugin({
  kind: 'store',
  name: 'store-s3',
  contract: 1,
  options,
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: createS3Store,
});
export default plugin;
