import type { Encryptor, Executor, Managed, Metrics, Notifier, Snapshot } from './adapters.ts';
import type { Abortable } from './bytes.ts';
import type { Compressor } from './compressor.ts';
import type { Store } from './store.ts';

/** Contract major of this package. A plugin declares the one it was built for. */
export const CONTRACT = 1;

/** One contract interface per kind. A new kind is a minor release; a changed one is a major. */
export interface AdapterKinds {
  store: Store;
  compressor: Compressor;
  encryptor: Encryptor;
  snapshot: Snapshot;
  managed: Managed;
  notifier: Notifier;
  metrics: Metrics;
  executor: Executor;
}

/** Lines for the operator. Fields are shown after the message; they never hold secrets. */
export interface Log {
  debug(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
}

/** How a program is run by {@link Host.exec}. */
export interface ExecOptions extends Abortable {
  readonly input?: Uint8Array;
  readonly environment?: Readonly<Record<string, string>>;
}

/** What the host lends an adapter. Adapters read no environment, no clock and no global of their own. */
export interface Host {
  readonly log: Log;
  readonly now: () => Date;
  /** Runs a program without a shell. A non-zero status rejects. */
  readonly exec: (
    command: string,
    args: readonly string[],
    options?: ExecOptions,
  ) => Promise<{ readonly stdout: Buffer }>;
  readonly fetch: typeof globalThis.fetch;
  /** A private directory, removed when the process ends in order. */
  readonly temporaryDirectory: () => Promise<string>;
}

/** What validating options gives: the options as the plugin wants them, or every problem. */
export type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | {
      readonly issues: ReadonlyArray<{
        readonly message: string;
        readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
      }>;
    };

/** https://standardschema.dev, reduced to what the config loader calls; zod, valibot and arktype schemas fit as they are. */
export interface OptionsSchema<Options> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Options> | Promise<SchemaResult<Options>>;
  };
}

/** What an adapter package exports as its default: which slot it fits, its options, and how to make one. */
export interface Plugin<Kind extends keyof AdapterKinds = keyof AdapterKinds, Options = never> {
  readonly kind: Kind;
  /** Shown in logs and errors; by convention the package name's last part. */
  readonly name: string;
  /** Contract major this plugin was written against. */
  readonly contract: 1;
  /** Must refuse unknown keys. */
  readonly options: OptionsSchema<Options>;
  /** JSON Schema (draft 2020-12) of the options as a user writes them, for editors. Absent: any object. */
  readonly jsonSchema?: () => object;
  /** Builds one adapter. Must not touch disk or network: the first operation does. */
  create(options: Options, host: Host): AdapterKinds[Kind];
}

/** Identity, kept for inference and for a place to check the shape. */
export function definePlugin<Kind extends keyof AdapterKinds, Options>(
  plugin: Plugin<Kind, Options>,
): Plugin<Kind, Options> {
  return plugin;
}
