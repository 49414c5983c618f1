/** `@keyframe/store-fs`: objects as files under one directory of a POSIX file system. @packageDocumentation */
import { definePlugin, type Plugin } from '@keyframe/contracts';
import { z } from 'zod';
import { createFsStore, type FsStoreOptions } from './fs-store.ts';

const mode = (fallback: string): z.ZodType<number, string | undefined> =>
  z
    .string({ error: `must be octal digits in quotes, such as "${fallback}"` })
    .regex(/^0?[0-7]{3}$/, { error: `must be octal digits in quotes, such as "${fallback}"` })
    .default(fallback)
    .transform((digits) => Number.parseInt(digits, 8));

const options = z.strictObject({
  directory: z
    .string()
    .regex(/^\/./, { error: 'must be an absolute path' })
    .describe('Absolute path of the directory that holds the objects; created by the first write.'),
  fileMode: mode('0640').describe('Permissions of new files, in octal; the umask may take some away.'),
  directoryMode: mode('0750').describe('Permissions of new directories, in octal; the umask may take some away.'),
});

const plugin: Plugin<'store', FsStoreOptions> = definePlugin({
  kind: 'store',
  name: 'store-fs',
  contract: 1,
  options,
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: createFsStore,
});
export default plugin;
