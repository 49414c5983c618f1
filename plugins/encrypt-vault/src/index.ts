/** `@keyframe/encrypt-vault`: keys wrapped by the transit engine of HashiCorp Vault or OpenBao. @packageDocumentation */
import { definePlugin, type Plugin, Secret } from '@keyframe/contracts';
import { z } from 'zod';
import { createVaultEncryptor, type VaultLogin, type VaultOptions } from './vault.ts';

const text = z.string().min(1);
const secret = text.transform((value) => new Secret(value.trim()));
const path = text.regex(/^[^/\s](.*[^/\s])?$/, { error: 'must be a path without slashes at its ends' });

const options = z.strictObject({
  address: z
    .url({ protocol: /^https?$/ })
    .transform((url) => url.replace(/\/+$/, ''))
    .describe('Address of the server, such as https://vault.example.com:8200.'),
  key: path.describe('Name of the key in the transit engine.'),
  mount: path.default('transit').describe('Path of the transit engine. Default `transit`.'),
  namespace: path.optional().describe('Namespace of Vault Enterprise, HCP or OpenBao.'),
  token: secret.optional().describe('Token, from ${file:…} or ${env:VAULT_TOKEN}.'),
  appRole: z
    .strictObject({ roleId: text, secretId: secret, mount: path.default('approle') })
    .optional()
    .describe('Logs in by an AppRole: `roleId`, `secretId` from ${file:…}, `mount` (default `approle`).'),
  kubernetes: z
    .strictObject({ role: text, jwt: secret, mount: path.default('kubernetes') })
    .optional()
    .describe('Logs in by a service account: `role`, `jwt` from ${file:…}, `mount` (default `kubernetes`).'),
  publicKey: text
    .regex(/^\s*-----BEGIN PUBLIC KEY-----/, { error: 'must be a PEM `-----BEGIN PUBLIC KEY-----`' })
    .optional()
    .describe('Public half of an RSA key of the engine, from ${file:…}: wrapping then needs no request and no right.'),
  publicKeyVersion: z.int().min(1).default(1).describe('Version of the key that `publicKey` belongs to. Default 1.'),
  decrypt: z
    .boolean()
    .default(true)
    .describe('False on a host that has no right to decrypt: it writes and cannot read.'),
});

type Given = z.infer<typeof options>;

function loginOf({ token, appRole, kubernetes }: Given): VaultLogin | undefined {
  if (token !== undefined) return { token };
  if (appRole !== undefined)
    return { mount: appRole.mount, body: { role_id: appRole.roleId, secret_id: appRole.secretId } };
  if (kubernetes !== undefined)
    return { mount: kubernetes.mount, body: { role: kubernetes.role, jwt: kubernetes.jwt } };
  return undefined;
}

const checked = options.superRefine((given, context) => {
  const ways = [given.token, given.appRole, given.kubernetes].filter((way) => way !== undefined).length;
  const needless = ways === 0 && given.publicKey !== undefined && !given.decrypt;
  if (ways !== 1 && !needless)
    context.addIssue({
      code: 'custom',
      path: ['token'],
      message: 'one of `token`, `appRole` and `kubernetes` is required',
      input: given,
    });
});

const plugin: Plugin<'encryptor', VaultOptions> = definePlugin({
  kind: 'encryptor',
  name: 'encrypt-vault',
  contract: 1,
  options: checked.transform((given): VaultOptions => {
    const { address, key, mount, namespace, publicKey, publicKeyVersion, decrypt } = given;
    const login = loginOf(given) ?? { token: new Secret('') };
    return { address, key, mount, namespace, publicKey, publicKeyVersion, decrypt, login };
  }),
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: createVaultEncryptor,
});
export default plugin;
