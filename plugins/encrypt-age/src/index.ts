/** `@keyframe/encrypt-age`: keys wrapped for age recipients. @packageDocumentation */
import { definePlugin, type Plugin, Secret } from '@keyframe/contracts';
import { z } from 'zod';
import { type AgeOptions, createAgeEncryptor, identitiesIn } from './age.ts';

const options = z.strictObject({
  recipients: z
    .array(z.string().regex(/^age1[a-z0-9]{10,}$/, { error: 'must be a public key `age1…`' }))
    .min(1)
    .describe('Public keys, `age1…`; any of their private keys opens.'),
  identity: z
    .string()
    .refine((text) => identitiesIn(text).length > 0, { error: 'must hold a line `AGE-SECRET-KEY-…`' })
    .transform((text) => new Secret(text))
    .optional()
    .describe('Content of an identity file, from ${file:…}. Without it this host can write and not read.'),
});

const plugin: Plugin<'encryptor', AgeOptions> = definePlugin({
  kind: 'encryptor',
  name: 'encrypt-age',
  contract: 1,
  options: options.transform(({ recipients, identity }): AgeOptions => ({ recipients, identity })),
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: createAgeEncryptor,
});
export default plugin;
