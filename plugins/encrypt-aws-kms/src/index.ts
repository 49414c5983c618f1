/** `@keyframe/encrypt-aws-kms`: keys wrapped by AWS KMS. @packageDocumentation */
import { definePlugin, type Plugin, Secret } from '@keyframe/contracts';
import { z } from 'zod';
import { type AwsKmsOptions, createAwsKmsEncryptor } from './aws-kms.ts';

const text = z.string().min(1);
const secret = text.transform((value) => new Secret(value)).optional();

const options = z.strictObject({
  key: text
    .regex(/^(arn:\S+|alias\/\S+|(mrk-)?[0-9a-f-]{32,36})$/, { error: 'must be an ARN, `alias/…` or the id of a key' })
    .describe('ARN, id or alias of the key.'),
  publicKey: text
    .regex(/^\s*-----BEGIN PUBLIC KEY-----/, { error: 'must be a PEM `-----BEGIN PUBLIC KEY-----`' })
    .optional()
    .describe('Public half of an RSA key for encryption, from ${file:…}: wrapping then needs no request and no right.'),
  context: z
    .record(text, z.string())
    .default({})
    .describe('Encryption context of a symmetric key beside `purpose: keyframe`: another one does not open.'),
  decrypt: z
    .boolean()
    .default(true)
    .describe('False on a host that has no right to decrypt: it writes and cannot read.'),
  region: text.optional().describe("Region of the key. Default: that of the key's ARN, else as the SDK finds it."),
  endpoint: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Address of a server other than AWS.'),
  profile: text.optional().describe('Profile of ~/.aws/config.'),
  accessKeyId: secret.describe('Access key. Default: as the SDK finds it: environment, roles, web identity.'),
  secretAccessKey: secret.describe('Its secret, such as ${file:/etc/keyframe/kms-secret}.'),
  sessionToken: secret.describe('Its session token, for keys that expire.'),
});

const plugin: Plugin<'encryptor', AwsKmsOptions> = definePlugin({
  kind: 'encryptor',
  name: 'encrypt-aws-kms',
  contract: 1,
  options: options.transform((given): AwsKmsOptions => {
    const { publicKey, region, endpoint, profile, accessKeyId, secretAccessKey, sessionToken } = given;
    return { ...given, publicKey, region, endpoint, profile, accessKeyId, secretAccessKey, sessionToken };
  }),
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: createAwsKmsEncryptor,
});
export default plugin;
