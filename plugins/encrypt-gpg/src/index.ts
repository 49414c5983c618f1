/** `@keyframe/encrypt-gpg`: keys wrapped for OpenPGP recipients by the gpg program. @packageDocumentation */
import { definePlugin, type Plugin, Secret } from '@keyframe/contracts';
import { z } from 'zod';
import { createGpgEncryptor, type GpgOptions } from './gpg.ts';

const options = z.strictObject({
  recipients: z
    .array(z.string().regex(/^[^-\s][^\n]*$/, { error: 'must be a fingerprint or an address' }))
    .min(1)
    .describe('Fingerprints (best) or addresses of public keys in the keyring; any of their private keys opens.'),
  home: z
    .string()
    .regex(/^\//, { error: 'must be an absolute path' })
    .optional()
    .describe("Keyring directory. Default: gpg's own, ~/.gnupg of the user that runs Keyframe."),
  passphrase: z
    .string()
    .min(1)
    .transform((text) => new Secret(text))
    .optional()
    .describe('Of the private key, from ${file:…} or ${env:…}; only to read. Default: gpg-agent knows it.'),
  program: z.string().min(1).default('gpg').describe('The gpg program. Default gpg.'),
});

const plugin: Plugin<'encryptor', GpgOptions> = definePlugin({
  kind: 'encryptor',
  name: 'encrypt-gpg',
  contract: 1,
  options: options.transform(({ recipients, home, passphrase, program }): GpgOptions => ({
    recipients,
    home,
    passphrase,
    program,
  })),
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: createGpgEncryptor,
});
export default plugin;
