import type { Host, Log } from '@keyframe/contracts';
import type { App, Configuration, Environment, StoreChoice } from '@keyframe/runtime';
import type { CommandContext, GlobalOptions } from './command.ts';
import { toJson } from './output/json.ts';
import { createLog } from './output/log.ts';
import { createProgress } from './output/progress.ts';
import type { Talk } from './output/talk.ts';

/** What a context is made of. */
export interface ContextParts {
  readonly globals: GlobalOptions;
  readonly environment: Environment;
  readonly cwd: string;
  readonly talk: Talk;
  /** Standard output, for what is told as it happens. Default: nothing is. */
  readonly write?: ((text: string) => void) | undefined;
  readonly signal: AbortSignal;
  /** PostgreSQL runs it, for each WAL file: what is not about that file fills its log. */
  readonly isForServer?: boolean | undefined;
}

/** A context and its end. */
export interface OwnedContext extends Omit<CommandContext<object, object>, 'options' | 'positionals'> {
  /** Takes the secrets of the config file out of a text, once it has been read. */
  readonly redact: (text: string) => string;
  /** Runs what was deferred. The first fault of it is thrown, after all has run. */
  readonly close: () => Promise<void>;
}

/** Everything heavy is loaded when a command asks for it. */
export function createContext(parts: ContextParts): OwnedContext {
  const { globals, environment, cwd, talk, signal } = parts;
  const cleanups: (() => void | Promise<void>)[] = [];
  let redact = (text: string): string => text;
  const log: Log = createLog(talk, { ...globals, redact: (text) => redact(text) });
  const defer = (cleanup: () => void | Promise<void>): void => {
    cleanups.push(cleanup);
  };

  const configuration = once(async (): Promise<Configuration> => {
    const [{ loadConfiguration }, { BUILTIN, PLUGIN_SOURCES }] = await Promise.all([
      import('@keyframe/runtime'),
      import('./plugins.ts'),
    ]);
    const loaded = await loadConfiguration({
      ...PLUGIN_SOURCES,
      configPath: globals.config,
      cwd,
      environment,
      codecs: BUILTIN.compressor,
    });
    redact = (text) => loaded.redact(text);
    if (parts.isForServer !== true)
      for (const { file, mode, fix } of loaded.exposed)
        log.warn(`others may read ${file}, which holds a secret (mode ${mode}). ${fix}`);
    return loaded;
  });

  const makeApp = async (choice: StoreChoice): Promise<App> => {
    const { openApp: open } = await import('@keyframe/runtime');
    const { cluster, repository } = globals;
    const app = open(await configuration(), { cluster, repository, log, environment, ...choice });
    defer(() => app.close());
    return app;
  };
  let opened: Promise<App> | undefined;
  const openApp = (choice: StoreChoice = {}): Promise<App> => (opened ??= makeApp(choice));

  const host = once(async (): Promise<Host> => {
    const { createHost } = await import('@keyframe/runtime');
    const owned = createHost(log);
    defer(() => owned.close());
    return owned;
  });

  return {
    globals,
    environment,
    cwd,
    signal,
    log,
    tell: globals.quiet || globals.json ? () => undefined : (text) => talk.line(redact(text)),
    emit: globals.json ? (event) => parts.write?.(`${redact(toJson(event, 0))}\n`) : () => undefined,
    progress: createProgress({ talk, silent: globals.quiet || globals.json, now: () => performance.now() }),
    configuration,
    openApp,
    host,
    defer,
    redact: (text) => redact(text),
    close: () => runAll(cleanups),
  };
}

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => (made ??= make());
}

async function runAll(cleanups: (() => void | Promise<void>)[]): Promise<void> {
  const faults: unknown[] = [];
  for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) {
    try {
      await cleanup();
    } catch (error) {
      faults.push(error);
    }
  }
  if (faults.length > 0) throw faults[0];
}
