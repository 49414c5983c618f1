/** Finds and reads the config file. @packageDocumentation */
import { existsSync } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { KeyframeError } from '@keyframe/contracts';
import { cosmiconfig, type Loader } from 'cosmiconfig';
import type { Environment } from './configuration.ts';
import { type ConfigurationProblem, configurationError, type KeyPath } from './problems.ts';
import { parseText, type TextPosition } from './yaml-text.ts';

const SCRIPTS = ['ts', 'mts', 'js', 'mjs', 'cjs', 'cts'];

/** Fixed, and never a parent directory: a backup must not pick up somebody else's file. */
const PLACES: readonly string[] = [
  'keyframe.yaml',
  'keyframe.yml',
  'keyframe.json',
  'keyframe.js',
  'keyframe.ts',
  ...SCRIPTS.map((extension) => `keyframe.config.${extension}`),
  'package.json',
];

/** The directory that is looked at after the current one. */
export const SYSTEM_DIRECTORY = '/etc/keyframe';

/** Where to look, and what stands there. */
export interface FindOptions {
  /** As the user gave it; relative to `cwd`. */
  readonly configPath: string | undefined;
  readonly cwd: string;
  readonly environment: Environment;
  /** Looked at after `cwd`. Default {@link SYSTEM_DIRECTORY}. */
  readonly systemDirectory?: string | undefined;
}

/** The content of a config file, not yet validated. */
export interface ConfigFile {
  /** Absolute path. */
  readonly file: string;
  readonly data: unknown;
  /** Place of a path in the text; absent for JavaScript and package.json. */
  readonly positionOf?: (path: KeyPath) => TextPosition;
}

/** What our loaders give cosmiconfig: always an object, so that its own `$import` finds nothing to do. */
type Loaded = { readonly text: string } | { readonly value: unknown };

const loadScript: Loader = async (file) => {
  const module = (await import(pathToFileURL(await realpath(file)).href)) as { readonly default?: unknown };
  return { value: module.default } satisfies Loaded;
};

const loadText: Loader = (file, text) => {
  if (path.basename(file) !== 'package.json') return { text } satisfies Loaded;
  const content: unknown = JSON.parse(text);
  const own = typeof content === 'object' && content !== null && 'keyframe' in content ? content.keyframe : undefined;
  return own === undefined ? {} : { keyframe: { value: own } satisfies Loaded };
};

function explorer(): ReturnType<typeof cosmiconfig> {
  return cosmiconfig('keyframe', {
    searchPlaces: [...PLACES],
    searchStrategy: 'none',
    ignoreEmptySearchPlaces: false,
    cache: false,
    loaders: {
      ...Object.fromEntries(SCRIPTS.map((extension) => [`.${extension}`, loadScript])),
      ...Object.fromEntries(['.json', '.yaml', '.yml', 'noExt', 'default'].map((extension) => [extension, loadText])),
    },
  });
}

/**
 * Reads the file of `configPath`, of KEYFRAME_CONFIG, or the first there is in `cwd` and then /etc/keyframe.
 * @throws {KeyframeError} CONFIG_NOT_FOUND, CONFIG_INVALID, ACCESS_DENIED
 */
export async function readConfigFile(options: FindOptions): Promise<ConfigFile> {
  const named = options.configPath ?? (options.environment['KEYFRAME_CONFIG'] || undefined);
  const { filepath: file, config } =
    named === undefined ? await search(options) : await load(path.resolve(options.cwd, named));
  if (config === undefined)
    throw configurationError(file, [problem('the file is empty', 'Run `keyframe init` to write a commented one.')]);
  return 'value' in config ? { file, data: config.value } : fromText(file, config.text);
}

/** Where the config file is, whatever stands in it; where `keyframe.yaml` would be in `cwd` when there is none. */
export function locateConfiguration(options: FindOptions): string {
  const named = options.configPath ?? (options.environment['KEYFRAME_CONFIG'] || undefined);
  if (named !== undefined) return path.resolve(options.cwd, named);
  for (const directory of [options.cwd, options.systemDirectory ?? SYSTEM_DIRECTORY])
    for (const place of PLACES.filter((name) => name !== 'package.json'))
      if (existsSync(path.join(directory, place))) return path.join(directory, place);
  return path.join(options.cwd, 'keyframe.yaml');
}

interface Found {
  readonly filepath: string;
  readonly config?: Loaded;
}

async function load(file: string): Promise<Found> {
  const found = await explorer()
    .load(file)
    .catch((error: unknown) => {
      throw unreadable(file, error) ?? invalid(file, error);
    });
  return (found as Found | null) ?? { filepath: file };
}

async function search({ cwd, systemDirectory = SYSTEM_DIRECTORY }: FindOptions): Promise<Found> {
  const directories = [cwd, systemDirectory];
  for (const directory of directories) {
    const found = (await explorer()
      .search(directory)
      .catch((error: unknown) => {
        throw invalid(directory, error);
      })) as Found | null;
    const before = found === null ? PLACES : PLACES.slice(0, PLACES.indexOf(path.basename(found.filepath)));
    // cosmiconfig passes over what it may not read. A file that is there but denied is not absent.
    for (const place of before) await assertReadable(path.join(directory, place));
    if (found !== null) return found;
  }
  throw new KeyframeError('CONFIG_NOT_FOUND', `there is no config file in ${directories.join(' or ')}`, {
    hint: 'Run `keyframe init` to write one, or name one with --config FILE or KEYFRAME_CONFIG.',
    details: { directories: directories.join(', '), names: PLACES.join(', ') },
  });
}

async function assertReadable(file: string): Promise<void> {
  try {
    await (await open(file)).close();
  } catch (error) {
    if (!isAbsent(error)) throw unreadable(file, error) ?? invalid(file, error);
  }
}

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);

const isAbsent = (error: unknown): boolean => codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';

/** What the system says about a file that cannot be opened; `undefined` for what its content says. */
function unreadable(file: string, error: unknown): KeyframeError | undefined {
  // A JavaScript config may itself read files.
  const isSystem = error instanceof Error && 'syscall' in error && (!('path' in error) || error.path === file);
  if (!isSystem) return undefined;
  if (isAbsent(error))
    return new KeyframeError('CONFIG_NOT_FOUND', `the config file ${file} does not exist`, {
      hint: 'Correct --config or KEYFRAME_CONFIG, or run `keyframe init` to write a config file.',
      details: { file },
    });
  return new KeyframeError('ACCESS_DENIED', `the config file ${file} cannot be read (${String(codeOf(error))})`, {
    cause: error,
    hint: `Make ${file} and its directory readable for the user that runs Keyframe.`,
    details: { file },
  });
}

function problem(reason: string, fix?: string, position?: TextPosition): ConfigurationProblem {
  const { line, column } = position ?? { line: undefined, column: undefined };
  return { path: '', line, column, reason, fix, code: 'CONFIG_INVALID' };
}

function invalid(place: string, error: unknown): KeyframeError {
  const file = error instanceof Error && 'filepath' in error ? String(error.filepath) : place;
  const reason = error instanceof Error ? error.message : String(error);
  return configurationError(file, [problem(`the file cannot be loaded: ${reason}`)]);
}

function fromText(file: string, text: string): ConfigFile {
  const { data, errors, positionOf } = parseText(text);
  if (errors.length > 0)
    throw configurationError(
      file,
      errors.map(({ message, line, column }) => {
        const hasReference = (text.split('\n')[line - 1] ?? '').includes('${');
        return problem(message, hasReference ? 'Put text that holds ${…} in double quotes.' : undefined, {
          line,
          column,
        });
      }),
    );
  return { file, data, positionOf };
}
