/** `@keyframe/store-azure`: objects in a container of Azure Blob Storage. @packageDocumentation */
import { definePlugin, type Plugin, Secret } from '@keyframe/contracts';
import { z } from 'zod';
import { createAzureStore } from './azure-store.ts';
import type { AzureOptions } from './options.ts';

const secret = z
  .string()
  .min(1)
  .transform((text) => new Secret(text));

const accountName = z
  .string()
  .regex(/^[a-z0-9]{3,24}$/, { error: 'must be the name of a storage account: 3 to 24 lower-case letters and digits' });
const containerName = z
  .string()
  .regex(/^(?=.{3,63}$)[a-z0-9](?:-?[a-z0-9])*$|^\$root$/, { error: 'must be the name of a container' });
const KEY_BYTES = 32;

const placeOptions = {
  account: accountName.optional().describe('Name of the storage account. `connectionString` may name it, too.'),
  container: containerName.describe('Name of the container. It must exist.'),
  prefix: z
    .string()
    .regex(/^(?!\/)(?!.*\/\/)(?!(.*\/)?\.{1,2}(\/|$))[^\0\r\n]*$/, { error: 'must be a plain relative path' })
    .transform((text) => (text === '' || text.endsWith('/') ? text : `${text}/`))
    .default('')
    .describe('Folder of the container that all objects lie in.'),
  endpoint: z
    .url({ protocol: /^https?$/, error: 'must be an address that begins with https:// or http://' })
    .optional()
    .describe(
      'Address of the account, for other clouds and emulators. Default: https://ACCOUNT.blob.core.windows.net.',
    ),
  region: z.string().min(1).optional().describe('Region of the account, so that copies in one region are told.'),
  replicateTo: z
    .strictObject({ account: accountName, container: containerName })
    .optional()
    .describe('Where object replication copies to; for the document that `replication plan` prints.'),
};

const managementOptions = {
  management: z
    .strictObject({
      subscription: z.string().min(1).describe('Id of the subscription that the account belongs to.'),
      resourceGroup: z.string().min(1).describe('Resource group of the account.'),
      endpoint: z
        .url({ protocol: /^https?$/ })
        .transform((text) => text.replace(/\/+$/, ''))
        .default('https://management.azure.com')
        .describe('Address of the management API, for other clouds.'),
    })
    .optional()
    .describe(
      'Needed for `keyframe lifecycle`: the rules belong to the account. They are set with the token of `auth`.',
    ),
};

const identityOptions = {
  connectionString: secret.optional().describe('As `az storage account show-connection-string` prints it.'),
  accountKey: secret.optional().describe('Key of the account: opens everything in it.'),
  sas: secret.optional().describe('Shared access signature for the container, such as ${file:/etc/keyframe/sas}.'),
  auth: z
    .enum([
      'default',
      'environment',
      'managed-identity',
      'workload-identity',
      'client-secret',
      'client-certificate',
      'cli',
      'anonymous',
    ])
    .default('default')
    .describe(
      'How a token of Microsoft Entra is had, when no connection string, key or SAS is given. default: what is there first of environment, workload identity, managed identity and Azure CLI.',
    ),
  tenantId: z.string().min(1).optional().describe('Tenant of the application, for client-secret and the like.'),
  clientId: z.string().min(1).optional().describe('Application, or user-assigned managed identity.'),
  clientSecret: secret.optional().describe('For `auth: client-secret`.'),
  clientCertificateFile: z
    .string()
    .regex(/^\/./, { error: 'must be an absolute path' })
    .optional()
    .describe('For `auth: client-certificate`: PEM file with certificate and private key.'),
  tokenFile: z
    .string()
    .regex(/^\/./, { error: 'must be an absolute path' })
    .optional()
    .describe('For `auth: workload-identity`: file of the token. Default: AZURE_FEDERATED_TOKEN_FILE.'),
};

const objectOptions = {
  encryptionScope: z.string().min(3).max(63).optional().describe('Encryption scope that every object is put in.'),
  encryptionKey: z
    .string()
    .refine((text) => Buffer.from(text, 'base64').length === KEY_BYTES, { error: 'must be 32 bytes in base64' })
    .transform((text) => new Secret(text))
    .optional()
    .describe('Own key of 32 bytes in base64 (CPK): whoever loses it loses every object. Needs https.'),
  retentionMode: z
    .enum(['locked', 'unlocked'])
    .default('locked')
    .describe('Mode of immutability policies. unlocked: an administrator may lift them.'),
  partMiB: z
    .int()
    .min(1)
    .max(1024)
    .default(8)
    .describe('MiB of one part; larger objects are sent as blocks of this size, at most 50,000.'),
  parallelParts: z.int().min(1).max(64).default(2).describe('Parts of one upload that are on their way at once.'),
};

const connectionOptions = {
  connections: z.int().min(1).max(1024).default(32).describe('Connections at once.'),
  connectTimeoutSeconds: z.number().positive().max(600).default(10).describe('Longest wait for a connection, seconds.'),
  stallTimeoutSeconds: z.number().positive().max(3600).default(30).describe('Longest wait for the next byte, seconds.'),
  proxy: z
    .url({ protocol: /^http$/ })
    .optional()
    .describe('HTTP proxy, such as http://proxy:3128.'),
  certificateAuthority: z
    .string()
    .includes('-----BEGIN CERTIFICATE-----')
    .optional()
    .describe('Certificates in PEM that are trusted besides the usual ones, such as ${file:/etc/ssl/own.pem}.'),
};

const options = z
  .strictObject({ ...placeOptions, ...managementOptions, ...identityOptions, ...objectOptions, ...connectionOptions })
  .refine(({ account, connectionString }) => account !== undefined || connectionString !== undefined, {
    error: 'required, unless connectionString is given',
    path: ['account'],
  })
  .refine(({ connectionString, accountKey, sas }) => [connectionString, accountKey, sas].filter(Boolean).length <= 1, {
    error: 'connectionString, accountKey and sas exclude each other',
    path: ['sas'],
  })
  .refine(({ encryptionScope, encryptionKey }) => encryptionScope === undefined || encryptionKey === undefined, {
    error: 'encryptionScope and encryptionKey exclude each other',
    path: ['encryptionKey'],
  })
  .refine(
    ({ auth, tenantId, clientId, clientSecret }) =>
      auth !== 'client-secret' || (tenantId !== undefined && clientId !== undefined && clientSecret !== undefined),
    { error: 'client-secret needs tenantId, clientId and clientSecret', path: ['auth'] },
  )
  .refine(
    ({ auth, tenantId, clientId, clientCertificateFile }) =>
      auth !== 'client-certificate' ||
      (tenantId !== undefined && clientId !== undefined && clientCertificateFile !== undefined),
    { error: 'client-certificate needs tenantId, clientId and clientCertificateFile', path: ['auth'] },
  );

const plugin: Plugin<'store', AzureOptions> = definePlugin({
  kind: 'store',
  name: 'store-azure',
  contract: 1,
  options,
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: createAzureStore,
});
export default plugin;
