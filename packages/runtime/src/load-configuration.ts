import { KeyframeError, Secret } from '@keyframe/contracts';
import { defaultQuorum } from '@keyframe/repository';
import { loadAdapters, type PlacedAdapter } from './adapters.ts';
import { type ConfigFile, type FindOptions, readConfigFile } from './config-file.ts';
import { codecNamed } from './codecs.ts';
import type {
  ClusterConfiguration,
  Configuration,
  ConfiguredAdapter,
  RepositoryConfiguration,
} from './configuration.ts';
import { findExposed, holdsSecret } from './exposed-files.ts';
import type { PluginSources } from './plugins.ts';
import { type ConfigurationProblem, configurationError, formatPath, type KeyPath } from './problems.ts';
import { maskUrl, passwordsIn, Redaction } from './redaction.ts';
import { normalize, type RawCluster, type RawConfiguration } from './schema.ts';
import { storeName } from './store-slots.ts';
import { type ResolvedSecrets, resolveSecrets } from './secrets.ts';
import { checkShape, type DraftProblem } from './shape.ts';

/** Where the file is, and where its plugins may be. */
export interface LoadOptions extends FindOptions, PluginSources {
  /** Names of the compressors this installation brings along, which are their ids too: what was written before the file changed stays readable. */
  readonly codecs?: readonly string[] | undefined;
}

/**
 * Reads the config file, resolves its secrets, loads the plugins it names and validates everything.
 * All problems are reported at once: `problemsOf(error)` lists them.
 * @throws {KeyframeError} CONFIG_NOT_FOUND, CONFIG_INVALID, PLUGIN_NOT_FOUND, PLUGIN_INVALID, ACCESS_DENIED
 */
export async function loadConfiguration(options: LoadOptions): Promise<Configuration> {
  const source = await readConfigFile(options);
  const redaction = new Redaction();
  const secrets = await resolveSecrets(source.data, {
    environment: options.environment,
    directory: source.file.replace(/[^/\\]*$/, ''),
    redaction,
  });
  const data = normalize(secrets.data);
  const { problems: shapeProblems, value } = checkShape(data);
  const { problems: adapterProblems, adapters } = await loadAdapters(data, source.file, options);
  const unresolved = secrets.problems.map(({ path }) => path);
  const others = [...shapeProblems, ...adapterProblems].filter(
    ({ path }) => !unresolved.some((at) => isUnder(path, at)),
  );
  const drafts = [...secrets.problems, ...others];
  for (const { source: from } of Object.values(value?.clusters ?? {}))
    if (from.url !== undefined) for (const password of passwordsIn(from.url)) redaction.add(password);
  for (const { signing, indexKey } of Object.values(value?.repositories ?? {}))
    for (const secret of [signing?.key, indexKey]) if (secret !== undefined) redaction.add(secret);
  if (drafts.length > 0 || value === undefined)
    throw configurationError(
      source.file,
      drafts.map((draft) => place(draft, source, secrets, redaction)),
    );
  const codecs = (options.codecs ?? []).map((name) => codecNamed(name, source.file, options));
  const exposed = await findExposed([...secrets.files, ...ownSecrets(source)]);
  return build(source.file, value, adapters, { codecs, exposed, redaction });
}

/** The config file, where a secret stands in it. */
function ownSecrets({ file, data }: ConfigFile): string[] {
  return holdsSecret(data, passwordsIn) ? [file] : [];
}

function isUnder(path: KeyPath, ancestor: KeyPath): boolean {
  return ancestor.every((key, index) => path[index] === key);
}

function place(
  { path, reason, fix, code = 'CONFIG_INVALID' }: DraftProblem,
  { positionOf }: ConfigFile,
  { places }: ResolvedSecrets,
  redaction: Redaction,
): ConfigurationProblem {
  // A message about a place that holds a secret may quote it, however short it is.
  const values = places.filter((at) => isUnder(at.path, path) || isUnder(path, at.path)).flatMap((at) => at.values);
  const hide = (text: string): string =>
    redaction.apply(values.reduce((result, value) => result.replaceAll(value, '***'), text));
  const { line, column } = positionOf?.(path) ?? { line: undefined, column: undefined };
  return { path: formatPath(path), line, column, reason: hide(reason), fix, code };
}

function build(
  file: string,
  raw: RawConfiguration,
  adapters: readonly PlacedAdapter[],
  rest: Pick<Configuration, 'codecs' | 'exposed'> & { readonly redaction: Redaction },
): Configuration {
  const at = (...path: KeyPath): ConfiguredAdapter<'store' & 'compressor' & 'encryptor'> => {
    const placed = adapters.find((each) => each.path.join('.') === path.join('.'));
    if (placed === undefined) throw new KeyframeError('INTERNAL', `${formatPath(path)} was not loaded`);
    // loadPlugin has compared the kind with the slot.
    return placed.adapter as ConfiguredAdapter<'store' & 'compressor' & 'encryptor'>;
  };
  const repositories = Object.entries(raw.repositories).map(
    ([name, { stores, quorum, lead, signing, retention, encrypt = [], indexKey, immutable }]): [
      string,
      RepositoryConfiguration,
    ] => [
      name,
      {
        name,
        stores: stores.map((slot, index) => ({
          ...at('repositories', name, 'stores', index),
          name: storeName(slot, index),
          classes: slot.classes,
          archive: slot.archive && { afterMs: slot.archive.after, storageClass: slot.archive.class },
        })),
        writeRule: { quorum: quorum ?? defaultQuorum(stores.length, lead), lead },
        compress: at('repositories', name, 'compress'),
        encrypt: encrypt.map((_, index) => {
          const adapter = at('repositories', name, 'encrypt', index);
          return { ...adapter, kind: adapter.pluginName.replace(/^(?:keyframe-)?encrypt-/, '') };
        }),
        indexKey: indexKey === undefined ? undefined : new Secret(indexKey),
        immutableMs: immutable,
        retention,
        signing: {
          key: signing?.key === undefined ? undefined : new Secret(signing.key),
          trusted: signing?.trusted ?? [],
        },
      },
    ],
  );
  const [only = ''] = Object.keys(raw.repositories);
  const clusters = Object.entries(raw.clusters).map(([name, cluster]): [string, ClusterConfiguration] => [
    name,
    buildCluster(name, cluster, only),
  ]);
  return {
    file,
    stateDirectory: raw.state,
    clusters: new Map(clusters),
    repositories: new Map(repositories),
    codecs: rest.codecs,
    exposed: rest.exposed,
    redact: (text) => rest.redaction.apply(text),
  };
}

/** PostgreSQL's names are no longer. */
const SLOT_CHARACTERS = 63;

function buildCluster(name: string, raw: RawCluster, onlyRepository: string): ClusterConfiguration {
  const { url, dataDirectory } = raw.source;
  return {
    name,
    source: {
      url: url === undefined ? undefined : new Secret(url),
      displayUrl: url === undefined ? undefined : maskUrl(url),
      dataDirectory,
    },
    repository: raw.repository ?? onlyRepository,
    walTimeoutMs: raw.walTimeout,
    maxRateBytes: raw.maxRate,
    receive: {
      slot: raw.receive.slot ?? `keyframe_${name.replaceAll('-', '_')}`.slice(0, SLOT_CHARACTERS),
      flushIntervalMs: raw.receive.flushInterval,
      flushBytes: raw.receive.flushBytes,
      synchronous: raw.receive.synchronous,
    },
    retention: raw.retention,
  };
}
