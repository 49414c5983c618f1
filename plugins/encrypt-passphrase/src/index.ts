/** `@keyframe/encrypt-passphrase`: keys wrapped by a passphrase. @packageDocumentation */
import { definePlugin, type Plugin, Secret } from '@keyframe/contracts';
import { z } from 'zod';
import { createPassphraseEncryptor, type PassphraseOptions } from './passphrase.ts';

const options = z.strictObject({
  passphrase: z
    .string()
    .min(12, { error: 'must have at least 12 characters' })
    .describe('At least 12 characters, from ${file:…} or ${env:…}.')
    .transform((text) => new Secret(text)),
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, { error: 'must be 1 to 63 of letters, digits, `.`, `_` and `-`' })
    .default('passphrase')
    .describe('Tells several passphrases of one repository apart.'),
  work: z
    .int()
    .min(14)
    .max(20)
    .default(17)
    .describe('Binary logarithm of the scrypt cost of new slots; each step doubles time and memory (17: 128 MiB).'),
});

const plugin: Plugin<'encryptor', PassphraseOptions> = definePlugin({
  kind: 'encryptor',
  name: 'encrypt-passphrase',
  contract: 1,
  options,
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: createPassphraseEncryptor,
});
export default plugin;
