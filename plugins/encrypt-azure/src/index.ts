/** `@keyframe/encrypt-azure`: keys wrapped by Azure Key Vault or a managed HSM. @packageDocumentation */
import { definePlugin, type Encryptor, type Plugin, Secret } from '@keyframe/contracts';
import { z } from 'zod';
import { type AzureKeyOptions, createAzureEncryptor } from './azure.ts';

const text = z.string().min(1);

const options = z.strictObject({
  key: text
    .regex(/^https:\/\/[^/]+\/keys\/[0-9A-Za-z-]+(\/[0-9a-f]{32})?$/, {
      error: 'must be `https://VAULT.vault.azure.net/keys/NAME`, with a version of 32 digits or without',
    })
    .describe('Address of an RSA key; with its version where there is `publicKey`.'),
  publicKey: text
    .regex(/^\s*-----BEGIN PUBLIC KEY-----/, { error: 'must be a PEM `-----BEGIN PUBLIC KEY-----`' })
    .optional()
    .describe('Public half of that version, from ${file:…}: wrapping then needs no request and no right.'),
  decrypt: z
    .boolean()
    .default(true)
    .describe('False on a host that has no right to unwrap: it writes and cannot read.'),
  tenantId: text.optional().describe('Tenant of the identity. Default: as the library finds it.'),
  clientId: text.optional().describe('Client id of an application or a managed identity.'),
  clientSecret: text
    .transform((value) => new Secret(value))
    .optional()
    .describe('Secret of the application, from ${file:…}. Needs `tenantId` and `clientId`.'),
});

const checked = options.superRefine((given, context) => {
  const wrong = (path: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [path], message, input: given });
  if (given.publicKey !== undefined && !/\/[0-9a-f]{32}$/.test(given.key))
    wrong('key', 'must name a version with `publicKey`');
  if (given.clientSecret !== undefined && (given.tenantId === undefined || given.clientId === undefined))
    wrong('clientSecret', 'needs `tenantId` and `clientId`');
});

const plugin: Plugin<'encryptor', AzureKeyOptions> = definePlugin({
  kind: 'encryptor',
  name: 'encrypt-azure',
  contract: 1,
  options: checked.transform((given): AzureKeyOptions => {
    const { key, publicKey, decrypt, tenantId, clientId, clientSecret } = given;
    return { key, publicKey, decrypt, tenantId, clientId, clientSecret };
  }),
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: (given, host): Encryptor => createAzureEncryptor(given, host),
});
export default plugin;
