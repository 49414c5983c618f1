/** Finds and loads the plugin that a `use` names. @packageDocumentation */
import { builtinModules } from 'node:module';
import { pathToFileURL } from 'node:url';
import { type AdapterKinds, CONTRACT, type ErrorCode, type OptionsSchema, type Plugin } from '@keyframe/contracts';
import { moduleResolve } from 'import-meta-resolve';

type Kind = keyof AdapterKinds;

/** The part of a package name that stands for a kind: `use: fs` among `stores` is `@keyframe/store-fs`. */
const PREFIXES: Readonly<Record<Kind, string>> = {
  store: 'store',
  compressor: 'compress',
  encryptor: 'encrypt',
  snapshot: 'snapshot',
  managed: 'managed',
  notifier: 'notify',
  metrics: 'metrics',
  executor: 'executor',
};

/** Where plugins are looked for. */
export interface PluginSources {
  /** Places of modules of the host application; a plugin is resolved from there after the config file's place. */
  readonly pluginRoots?: readonly URL[] | undefined;
  /** The module of a plugin that is delivered with the host application, by package name. Asked last. */
  readonly builtinPlugin?: ((packageName: string) => URL | undefined) | undefined;
  /** Export conditions beyond `node` and `import`. Default: those of `node --conditions`. */
  readonly conditions?: readonly string[] | undefined;
}

/** A plugin whatever its kind; its options are checked by its own schema. */
export interface AnyPlugin {
  readonly kind: Kind;
  readonly name: string;
  readonly options: OptionsSchema<unknown>;
  readonly jsonSchema?: (() => object) | undefined;
  create: Plugin<Kind, unknown>['create'];
}

/** The plugin, or why there is none. */
export type PluginResult =
  | { readonly plugin: AnyPlugin; readonly url: string | undefined }
  | { readonly code: ErrorCode; readonly reason: string; readonly fix: string };

/** Loads the plugin for a slot of that kind. `use` is what the file says; `file` the config file, whose place counts first. */
export async function loadPlugin(
  use: unknown,
  kind: Kind,
  file: string,
  sources: PluginSources,
): Promise<PluginResult> {
  if (typeof use !== 'string') return checkPlugin(use, kind, 'the object in `use`', undefined);
  const found = resolvePlugin(use, kind, file, sources);
  if (!('url' in found)) return found;
  let module: unknown;
  try {
    module = await import(found.url);
  } catch (error) {
    const reason = `the plugin ${found.url} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`;
    return { code: 'PLUGIN_INVALID', reason, fix: 'Correct or reinstall the plugin.' };
  }
  const plugin = typeof module === 'object' && module !== null && 'default' in module ? module.default : undefined;
  if (plugin === undefined)
    return {
      code: 'PLUGIN_INVALID',
      reason: `${found.url} has no default export`,
      fix: 'Export the plugin: `export default definePlugin({ … })`.',
    };
  return checkPlugin(plugin, kind, use, found.url);
}

/** The package that a short name stands for. */
function packageNameOf(use: string, kind: Kind): string {
  const isShort = /^[a-z0-9][a-z0-9-]*$/.test(use) && !use.startsWith('keyframe-');
  return isShort ? `@keyframe/${PREFIXES[kind]}-${use}` : use;
}

function resolvePlugin(
  use: string,
  kind: Kind,
  file: string,
  { pluginRoots = [], builtinPlugin, conditions = nodeConditions() }: PluginSources,
): { readonly url: string } | Exclude<PluginResult, { plugin: AnyPlugin }> {
  const isPath = /^(\.{0,2}\/|\.{1,2}$|file:)/.test(use);
  const specifier = isPath ? use : packageNameOf(use, kind);
  const tried: string[] = [];
  for (const place of isPath ? [pathToFileURL(file)] : [pathToFileURL(file), ...pluginRoots]) {
    const url = tryResolve(specifier, place, conditions);
    if (typeof url !== 'string') return { code: 'PLUGIN_INVALID', ...url };
    if (url !== '') return { url };
    tried.push(`from ${place.protocol === 'file:' ? decodeURIComponent(place.pathname) : place.href}`);
  }
  const builtin = isPath ? undefined : builtinPlugin?.(specifier);
  if (builtin !== undefined) return { url: builtin.href };
  return {
    code: 'PLUGIN_NOT_FOUND',
    reason: `there is no plugin ${specifier} (looked ${tried.join(', ')})`,
    fix: isPath
      ? 'Correct the path; it starts at the config file.'
      : `Correct the name; a plugin that does not come with Keyframe is added by \`npm install ${specifier}\` beside the config file.`,
  };
}

/** An address, an empty text when there is nothing, or what is wrong with the package. */
function tryResolve(
  specifier: string,
  place: URL,
  conditions: readonly string[],
): string | { readonly reason: string; readonly fix: string } {
  // `use: fs` must never become Node's own module.
  if (builtinModules.includes(specifier)) return '';
  try {
    const url = moduleResolve(specifier, place, new Set(['node', 'import', ...conditions]), false);
    return url.protocol === 'node:' ? '' : url.href;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ERR_MODULE_NOT_FOUND') return '';
    const reason = `${specifier} cannot be resolved: ${error instanceof Error ? error.message : String(error)}`;
    return { reason, fix: 'Reinstall the plugin, or name its main module.' };
  }
}

/** What `node --conditions=x` or `-C x` was given: a plugin's source is then preferred as for the program itself. */
function nodeConditions(): string[] {
  const args = process.execArgv;
  return args.flatMap((argument, index) => {
    const match = /^(?:--conditions|-C)(?:=(.+))?$/.exec(argument);
    const value = match === null ? undefined : (match[1] ?? args[index + 1]);
    return value === undefined ? [] : [value];
  });
}

function checkPlugin(plugin: unknown, kind: Kind, label: string, url: string | undefined): PluginResult {
  const invalid = (reason: string, fix: string): PluginResult => ({
    code: 'PLUGIN_INVALID',
    reason: `${label} ${reason}`,
    fix,
  });
  if (typeof plugin !== 'object' || plugin === null)
    return invalid('is no plugin object', 'Export what `definePlugin` returns.');
  const { kind: ownKind, name, contract, options, create } = plugin as Partial<Record<keyof Plugin, unknown>>;
  if (typeof ownKind !== 'string' || typeof name !== 'string')
    return invalid('is no plugin object: `kind` and `name` are missing', 'Export what `definePlugin` returns.');
  if (ownKind !== kind)
    return invalid(`is a plugin of kind ${ownKind}, and this slot needs a ${kind}`, `Name a ${kind} here.`);
  if (contract !== CONTRACT)
    return invalid(
      `was written for contract ${String(contract)}, and this Keyframe has contract ${CONTRACT}`,
      `Install the version of ${name} that is made for contract ${CONTRACT}.`,
    );
  const schema = typeof options === 'object' && options !== null ? Reflect.get(options, '~standard') : undefined;
  if (typeof create !== 'function' || typeof (schema as { validate?: unknown } | undefined)?.validate !== 'function')
    return invalid('has no `create` function or no `options` schema', `Report this to the author of ${name}.`);
  return { plugin: plugin as AnyPlugin, url };
}
