/** Turns one config file into a running engine. The only package that knows cosmiconfig, awilix and execa. @packageDocumentation */
export type { App } from './app.ts';
export type {
  ClusterConfiguration,
  Configuration,
  ConfiguredAdapter,
  Environment,
  RepositoryConfiguration,
} from './configuration.ts';
