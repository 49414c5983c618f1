/** Turns one config file into a running engine. The only package that knows cosmiconfig, awilix and execa. @packageDocumentation */
export type { App } from './app.ts';
export { choose } from './choose.ts';
export { locateConfiguration, SYSTEM_DIRECTORY } from './config-file.ts';
export type {
  ClusterConfiguration,
  Configuration,
  ConfiguredAdapter,
  ConfiguredStore,
  Environment,
  RepositoryConfiguration,
} from './configuration.ts';
export { createHost, type OwnedHost } from './host.ts';
export { configurationJsonSchema, type KnownPlugins } from './json-schema.ts';
export { loadConfiguration, type LoadOptions } from './load-configuration.ts';
export { openApp, type OpenOptions } from './open-app.ts';
export type { StoreChoice } from './open-store.ts';
export type { PluginSources } from './plugins.ts';
export { type ConfigurationProblem, formatProblem, problemsOf } from './problems.ts';
export { maskUrl } from './redaction.ts';
