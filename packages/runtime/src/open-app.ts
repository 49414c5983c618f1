/** The only container of Keyframe: joins the configured adapters to a repository. @packageDocumentation */
import type { Compressor, Log, Store } from '@keyframe/contracts';
import {
  type EncryptionContext,
  type MirroredStore,
  type NamedStore,
  openRepository,
  type Repository,
  type SigningContext,
} from '@keyframe/repository';
// The other entry of awilix loads a file globber that nothing here uses: 38 ms of CPU a start.
import { asFunction, asValue, type AwilixContainer, createContainer, InjectionMode } from 'awilix/browser';
import path from 'node:path';
import { homedir } from 'node:os';
import type { App } from './app.ts';
import { choose } from './choose.ts';
import type { Configuration, Environment, RepositoryConfiguration } from './configuration.ts';
import { headsIn } from './heads.ts';
import { encryptionOf } from './encryption.ts';
import { createHost, type OwnedHost } from './host.ts';
import { openStore, type StoreChoice } from './open-store.ts';

/** What to open, and for whom. */
export interface OpenOptions extends StoreChoice {
  /** Default: the only cluster of the file. */
  readonly cluster?: string | undefined;
  /** Default: the cluster's own repository. */
  readonly repository?: string | undefined;
  readonly log: Log;
  readonly environment: Environment;
}

interface Cradle {
  readonly configured: RepositoryConfiguration;
  readonly configuration: Configuration;
  readonly log: Log;
  readonly host: OwnedHost;
  readonly rawStores: readonly NamedStore[];
  readonly opened: { readonly store: Store; readonly mirror?: MirroredStore };
  readonly repositoryOver: (store: Store) => Repository;
  readonly compressor: Compressor;
  readonly encryption: EncryptionContext | undefined;
  readonly codecs: readonly Compressor[];
  readonly repository: Repository;
}

/**
 * Builds the parts for one cluster. No I/O: adapters connect at their first operation.
 * @throws {KeyframeError} INVALID_OPTION when the cluster or the repository is unknown or was to be chosen
 */
export function openApp(configuration: Configuration, options: OpenOptions): App {
  const cluster = choose(configuration.clusters, options.cluster, 'cluster');
  const configured = choose(configuration.repositories, options.repository ?? cluster.repository, 'repository');
  const stateDirectory = stateDirectoryOf(configuration, options.environment);
  const container = joinParts(configuration, configured, options, stateDirectory);
  const { cradle } = container;
  let closed: Promise<void> | undefined;
  return {
    configuration,
    clusterName: cluster.name,
    cluster,
    repositoryName: configured.name,
    immutableMs: configured.immutableMs,
    log: options.log,
    stateDirectory,
    get repository() {
      return cradle.repository;
    },
    get store() {
      return cradle.opened.store;
    },
    get mirror() {
      return cradle.opened.mirror;
    },
    repositoryOver: (store) => cradle.repositoryOver(store),
    get rawStores() {
      return cradle.rawStores;
    },
    get host() {
      return cradle.host;
    },
    connectionTarget: async () => {
      // Archiving a segment speaks to no server: it need not load what could.
      const { resolveConnection } = await import('@keyframe/postgres');
      return await resolveConnection(cluster.source.url?.reveal(), options.environment);
    },
    close: () =>
      (closed ??= (async () => {
        // Copies that are being made need the stores.
        if (container.cache.has('opened')) await cradle.opened.mirror?.close?.();
        await container.dispose();
      })()),
  };
}

/** One lazily made part each; what has an end ends with the container. */
function joinParts(
  configuration: Configuration,
  configured: RepositoryConfiguration,
  options: OpenOptions,
  stateDirectory: string,
): AwilixContainer<Cradle> {
  const { log } = options;
  const container = createContainer<Cradle>({ injectionMode: InjectionMode.PROXY, strict: true });
  container.register({
    configured: asValue(configured),
    configuration: asValue(configuration),
    log: asValue(log),
    host: asFunction((cradle: Cradle) => createHost(cradle.log))
      .singleton()
      .disposer((host) => host.close()),
    rawStores: asFunction(makeStores)
      .singleton()
      .disposer(async (stores) => {
        for (const { store } of stores) await closing(store);
      }),
    opened: asFunction((cradle: Cradle) => openStore({ ...partsOf(cradle), stateDirectory }, options)).singleton(),
    compressor: asFunction(({ configured: { compress }, host }: Cradle) => compress.create(host))
      .singleton()
      .disposer(closing),
    encryption: asFunction((cradle: Cradle) => encryptionOf(cradle.configured, cradle.host, cradle.log))
      .singleton()
      .disposer(async (encryption) => {
        for (const { encryptor } of encryption?.encryptors ?? []) await closing(encryptor);
      }),
    codecs: asFunction(({ configuration: { codecs }, host }: Cradle) => codecs.map((codec) => codec.create(host)))
      .singleton()
      .disposer(async (codecs) => {
        for (const codec of codecs) await codec.close?.();
      }),
    repositoryOver: asFunction(
      ({ compressor, codecs, host, encryption }: Cradle) =>
        (store: Store) =>
          openRepository({
            store,
            compressor,
            compressors: codecs,
            now: host.now,
            encryption,
            signing: signingOf(configured, stateDirectory, log),
          }),
    ).singleton(),
    repository: asFunction(({ opened, repositoryOver }: Cradle) => repositoryOver(opened.store)).singleton(),
  });
  return container;
}

async function closing(adapter: { close?(): Promise<void> }): Promise<void> {
  await adapter.close?.();
}

function makeStores({ configured: { stores }, host }: Cradle): NamedStore[] {
  return stores.map((store) => ({ name: store.name, store: store.create(host) }));
}

function partsOf(cradle: Cradle): Omit<Parameters<typeof openStore>[0], 'stateDirectory'> {
  const { configured, rawStores, log, repositoryOver, host } = cradle;
  return { configured, rawStores, log, repositoryOver, now: host.now };
}

function signingOf({ signing }: RepositoryConfiguration, stateDirectory: string, log: Log): SigningContext {
  const { key, trusted } = signing;
  return {
    key: key === undefined ? undefined : () => key.reveal(),
    trusted,
    heads: headsIn(stateDirectory, log),
  };
}

/** As the XDG base directory specification has it for state: not to be lost, and of this host alone. */
function stateDirectoryOf({ stateDirectory }: Configuration, environment: Environment): string {
  const { XDG_STATE_HOME, HOME } = environment;
  const home = XDG_STATE_HOME ?? path.join(HOME ?? homedir(), '.local', 'state');
  return stateDirectory ?? path.join(home, 'keyframe');
}
