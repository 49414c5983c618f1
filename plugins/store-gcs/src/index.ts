/** `@keyframe/store-gcs`: objects in a bucket of Google Cloud Storage. @packageDocumentation */
import { definePlugin, type Plugin, Secret } from '@keyframe/contracts';
import { z } from 'zod';
import { createGcsStore } from './gcs-store.ts';
import type { GcsOptions } from './options.ts';

const secret = z
  .string()
  .min(1)
  .transform((text) => new Secret(text));

const KEY_BYTES = 32;

const options = z
  .strictObject({
    bucket: z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/, { error: 'must be the name of a bucket, without gs://' })
      .describe('Name of the bucket. It must exist.'),
    prefix: z
      .string()
      .regex(/^(?!\/)(?!.*\/\/)(?!(.*\/)?\.{1,2}(\/|$))[^\0\r\n]*$/, { error: 'must be a plain relative path' })
      .transform((text) => (text === '' || text.endsWith('/') ? text : `${text}/`))
      .default('')
      .describe('Folder of the bucket that all objects lie in.'),
    endpoint: z
      .url({ protocol: /^https?$/, error: 'must be an address that begins with https:// or http://' })
      .transform((text) => text.replace(/\/+$/, ''))
      .default('https://storage.googleapis.com')
      .describe('Address of the service: a regional or private one, or an emulator.'),
    project: z.string().min(1).optional().describe('Project that the bucket belongs to; shown, and used in documents.'),
    userProject: z
      .string()
      .min(1)
      .optional()
      .describe('Project that pays for requests, for a bucket of "requester pays".'),
    auth: z
      .enum(['default', 'anonymous'])
      .default('default')
      .describe(
        'default: `credentials`, `keyFile`, else Application Default Credentials (environment, gcloud, metadata server, workload identity). anonymous: none.',
      ),
    keyFile: z
      .string()
      .regex(/^\/./, { error: 'must be an absolute path' })
      .optional()
      .describe('Absolute path of a credentials file: service account key, external account, or authorized user.'),
    credentials: secret.optional().describe('Text of a credentials file, such as ${file:/etc/keyframe/gcs.json}.'),
    impersonate: z.email().optional().describe('Service account whose rights are used (Token Creator role needed).'),
    kmsKey: z
      .string()
      .regex(/^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/]+$/, {
        error: 'must be projects/…/locations/…/keyRings/…/cryptoKeys/…',
      })
      .optional()
      .describe('Cloud KMS key that every object is encrypted with (CMEK). Default: what the bucket prescribes.'),
    encryptionKey: z
      .string()
      .refine((text) => Buffer.from(text, 'base64').length === KEY_BYTES, { error: 'must be 32 bytes in base64' })
      .transform((text) => new Secret(text))
      .optional()
      .describe('Own key of 32 bytes in base64 (CSEK): whoever loses it loses every object.'),
    retentionMode: z
      .enum(['Locked', 'Unlocked'])
      .default('Locked')
      .describe('Mode of object retention. Unlocked: an administrator may lift it.'),
    region: z.string().min(1).optional().describe('Region of the bucket, so that copies in one region are told.'),
    partMiB: z
      .int()
      .min(1)
      .max(1024)
      .default(8)
      .describe('MiB held in memory per upload; larger objects are sent in parts of this size.'),
    connections: z.int().min(1).max(1024).default(32).describe('Connections at once.'),
    connectTimeoutSeconds: z
      .number()
      .positive()
      .max(600)
      .default(10)
      .describe('Longest wait for a connection, seconds.'),
    stallTimeoutSeconds: z
      .number()
      .positive()
      .max(3600)
      .default(30)
      .describe('Longest wait for the next byte, seconds.'),
    proxy: z
      .url({ protocol: /^http$/ })
      .optional()
      .describe('HTTP proxy, such as http://proxy:3128.'),
    certificateAuthority: z
      .string()
      .includes('-----BEGIN CERTIFICATE-----')
      .optional()
      .describe('Certificates in PEM that are trusted besides the usual ones, such as ${file:/etc/ssl/own.pem}.'),
  })
  .refine(({ kmsKey, encryptionKey }) => kmsKey === undefined || encryptionKey === undefined, {
    error: 'kmsKey and encryptionKey exclude each other',
    path: ['encryptionKey'],
  })
  .refine(({ keyFile, credentials }) => keyFile === undefined || credentials === undefined, {
    error: 'keyFile and credentials exclude each other',
    path: ['credentials'],
  });

const plugin: Plugin<'store', GcsOptions> = definePlugin({
  kind: 'store',
  name: 'store-gcs',
  contract: 1,
  options,
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: createGcsStore,
});
export default plugin;
