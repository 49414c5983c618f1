/** `@keyframe/store-sftp`: objects as files on an SFTP server. @packageDocumentation */
import { definePlugin, type Plugin, Secret } from '@keyframe/contracts';
import { z } from 'zod';
import { parseHostKey } from './host-keys.ts';
import type { SftpStoreOptions } from './options.ts';
import { createSftpStore } from './sftp-store.ts';

const mode = (fallback: string): z.ZodType<number, string | undefined> =>
  z
    .string({ error: `must be octal digits in quotes, such as "${fallback}"` })
    .regex(/^0?[0-7]{3}$/, { error: `must be octal digits in quotes, such as "${fallback}"` })
    .default(fallback)
    .transform((digits) => Number.parseInt(digits, 8));

const secret = z
  .string()
  .min(1)
  .transform((text) => new Secret(text))
  .optional();

const hostKey = z.string().refine((text) => parseHostKey(text) !== undefined, {
  error: 'must be a fingerprint `SHA256:…` or a public key `ssh-ed25519 AAAA…`',
});

const options = z.strictObject({
  host: z.string().min(1).describe('Name or address of the server.'),
  port: z.int().min(1).max(65_535).default(22).describe('Port of the server. Default 22.'),
  user: z.string().min(1).describe('Who logs in.'),
  directory: z
    .string()
    .regex(/^\/./, { error: 'must be an absolute path' })
    .describe('Absolute path on the server of the directory that holds the objects; created by the first write.'),
  privateKey: secret.describe('Content of a private key file, from ${file:…}.'),
  passphrase: secret.describe('Opens `privateKey`.'),
  password: secret.describe('For a server that takes no keys, from ${file:…} or ${env:…}.'),
  agent: z.string().min(1).optional().describe('Socket of a running ssh-agent, such as ${env:SSH_AUTH_SOCK}.'),
  hostKey: z
    .union([hostKey, z.array(hostKey).min(1)])
    .optional()
    .describe('Fingerprint or public key that the server must show, or several of which it shows one.'),
  knownHosts: z.string().min(1).optional().describe('Content of a known_hosts file, from ${file:…}.'),
  acceptAnyHostKey: z
    .boolean()
    .default(false)
    .describe('Takes whatever key the server shows: anybody on the way can then read and change everything.'),
  sync: z
    .enum(['required', 'ifOffered'])
    .default('required')
    .describe('`ifOffered`: writes although the server cannot flush to its disk.'),
  channels: z.int().min(1).max(10).default(4).describe('SFTP sessions over the one connection. Default 4.'),
  fileMode: mode('0640').describe('Permissions of new files, in octal.'),
  directoryMode: mode('0750').describe('Permissions of new directories, in octal; the server may take some away.'),
});

const checked = options.superRefine((given, context) => {
  const missing = (path: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [path], message, input: given });
  if (given.privateKey === undefined && given.password === undefined && given.agent === undefined)
    missing('privateKey', 'required, unless there is `agent` or `password`');
  if (given.hostKey === undefined && given.knownHosts === undefined && !given.acceptAnyHostKey)
    missing('hostKey', 'required, unless there is `knownHosts`: `ssh-keyscan HOST | ssh-keygen -lf -` shows it');
  if (given.passphrase !== undefined && given.privateKey === undefined) missing('passphrase', 'needs `privateKey`');
});

const plugin: Plugin<'store', SftpStoreOptions> = definePlugin({
  kind: 'store',
  name: 'store-sftp',
  contract: 1,
  options: checked.transform(({ hostKey: keys, knownHosts, ...rest }): SftpStoreOptions => {
    const { privateKey, passphrase, password, agent } = rest;
    const hostKeys = [keys ?? []].flat();
    return { ...rest, privateKey, passphrase, password, agent, hostKeys, knownHostsText: knownHosts };
  }),
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: createSftpStore,
});
export default plugin;
