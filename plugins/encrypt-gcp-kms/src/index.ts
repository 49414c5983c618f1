/** `@keyframe/encrypt-gcp-kms`: keys wrapped by Google Cloud KMS. @packageDocumentation */
import { type Encryptor, definePlugin, type Plugin, Secret } from '@keyframe/contracts';
import { z } from 'zod';
import { createGcpKmsEncryptor, type GcpKmsOptions } from './gcp-kms.ts';

const text = z.string().min(1);

const options = z.strictObject({
  key: text
    .regex(/^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/]+(\/cryptoKeyVersions\/\d+)?$/, {
      error: 'must be `projects/…/locations/…/keyRings/…/cryptoKeys/…`',
    })
    .describe('Resource name of the key; with `/cryptoKeyVersions/N` where there is `publicKey`.'),
  publicKey: text
    .regex(/^\s*-----BEGIN PUBLIC KEY-----/, { error: 'must be a PEM `-----BEGIN PUBLIC KEY-----`' })
    .optional()
    .describe('Public half of an RSA key for decryption, from ${file:…}: wrapping then needs no request and no right.'),
  context: text.default('keyframe').describe('Additional data of a symmetric key: another one does not open.'),
  decrypt: z
    .boolean()
    .default(true)
    .describe('False on a host that has no right to decrypt: it writes and cannot read.'),
  endpoint: z
    .url({ protocol: /^https?$/ })
    .transform((url) => url.replace(/\/+$/, ''))
    .default('https://cloudkms.googleapis.com')
    .describe('Address of the service, for private or regional ones.'),
  credentials: text
    .transform((value) => new Secret(value))
    .optional()
    .describe('Content of a credentials file, from ${file:…}. Default: as the library finds them.'),
});

const checkedOptions = options.superRefine((given, context) => {
  if ((given.publicKey !== undefined) !== given.key.includes('/cryptoKeyVersions/'))
    context.addIssue({
      code: 'custom',
      path: ['key'],
      message: 'must name a version with `publicKey`, and none without',
      input: given,
    });
});

const plugin: Plugin<'encryptor', GcpKmsOptions> = definePlugin({
  kind: 'encryptor',
  name: 'encrypt-gcp-kms',
  contract: 1,
  options: checkedOptions.transform((given): GcpKmsOptions => ({
    ...given,
    publicKey: given.publicKey,
    credentials: given.credentials,
  })),
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: (given, host): Encryptor => createGcpKmsEncryptor(given, host),
});
export default plugin;
