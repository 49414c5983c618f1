/** The plugins that come with this program. Names only: a plugin is loaded when a config file names it. @packageDocumentation */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { KnownPlugins, PluginSources } from '@keyframe/runtime';

/** By kind, as `use` names them. */
export const BUILTIN: {
  readonly store: readonly string[];
  readonly compressor: readonly string[];
  readonly encryptor: readonly string[];
} = {
  store: ['fs', 's3', 'gcs', 'azure', 'sftp'],
  compressor: ['zstd', 'gzip', 'none', 'lz4', 'brotli'],
  encryptor: ['passphrase', 'gpg', 'age', 'aws-kms', 'gcp-kms', 'azure', 'vault'],
} satisfies KnownPlugins;

/** Where the runtime looks after the config file's place: beside this program, then among the modules built into it. */
export const PLUGIN_SOURCES: PluginSources = {
  pluginRoots: [new URL(import.meta.url)],
  builtinPlugin: (packageName) => {
    const name = /^@keyframe\/([a-z0-9-]+)$/.exec(packageName)?.[1];
    if (name === undefined) return undefined;
    const url = new URL(`./plugins/${name}.mjs`, import.meta.url);
    return existsSync(fileURLToPath(url)) ? url : undefined;
  },
};
