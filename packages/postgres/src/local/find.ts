/** Finds PostgreSQL's programs on this machine. @packageDocumentation */
import { execFile } from 'node:child_process';
import { access, constants, readdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { type Abortable, KeyframeError } from '@keyframe/contracts';
import type { Environment } from '../connection/target.ts';
import { findEmbeddedPackage, prepareEmbedded } from './embedded.ts';

const run = promisify(execFile);

/** One installed PostgreSQL. */
export interface Installation {
  readonly major: number;
  /** As it prints it: `18.6`, `19beta3`. */
  readonly version: string;
  readonly binDirectory: string;
  /** `given` was named by the user; `embedded` came from npm. */
  readonly source: 'given' | 'path' | 'pg_config' | 'system' | 'embedded';
}

/** Where to look, and for what. */
export interface FindPostgresOptions extends Abortable {
  /** Only this directory is looked at, and it must hold PostgreSQL. */
  readonly binDirectory?: string | undefined;
  /** PATH is read from it. */
  readonly environment: Environment;
  /** Only installations of this major. */
  readonly major?: number | undefined;
  /** npm's PostgreSQL, taken when nothing else fits. */
  readonly embedded?: {
    /** `file:` URLs of modules or directories from which the package may be found. */
    readonly from: readonly string[];
    /** Where its private copy is kept. */
    readonly cacheDirectory: string;
  };
}

/** Directories of packagers; a `*` part stands for any version. */
const PLACES = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/usr/local/pgsql/bin',
  '/usr/local/pgsql-*/bin',
  '/usr/lib/postgresql*/bin',
  '/opt/homebrew/opt/postgresql@*/bin',
  '/opt/homebrew/opt/postgresql/bin',
  '/usr/local/opt/postgresql@*/bin',
  '/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin',
  '/Applications/Postgres.app/Contents/Versions/*/bin',
];

/**
 * Installations with at least `postgres` and `initdb`, newest first; of one version the first found.
 * @throws {KeyframeError} INVALID_OPTION when a given directory holds no PostgreSQL
 */
export async function findPostgres(options: FindPostgresOptions): Promise<readonly Installation[]> {
  if (options.binDirectory !== undefined) return [await examineGiven(options.binDirectory, options)];
  const found = new Map<string, Installation>();
  for await (const { directory, source } of candidates(options)) {
    options.signal?.throwIfAborted();
    const real = await realpath(directory).catch(absent);
    if (real === undefined || found.has(real)) continue;
    const installation = await examine(real, source, options);
    if (installation !== undefined) found.set(real, installation);
  }
  const fitting = [...found.values()].filter(({ major }) => options.major === undefined || major === options.major);
  if (fitting.length === 0) fitting.push(...(await embedded(options)));
  return fitting.toSorted((one, other) => other.major - one.major);
}

async function examineGiven(directory: string, options: FindPostgresOptions): Promise<Installation> {
  const installation = await examine(directory, 'given', options);
  if (installation !== undefined && (options.major === undefined || options.major === installation.major))
    return installation;
  const why = installation === undefined ? 'holds no PostgreSQL' : `holds PostgreSQL ${installation.version}`;
  throw new KeyframeError('INVALID_OPTION', `${directory} ${why}`, {
    hint: `Give \`--bin-dir\` the directory of postgres and initdb${options.major === undefined ? '' : ` of PostgreSQL ${options.major}`}, as \`pg_config --bindir\` prints it.`,
    details: { binDirectory: directory },
  });
}

async function* candidates(
  options: FindPostgresOptions,
): AsyncGenerator<{ readonly directory: string; readonly source: Installation['source'] }> {
  const onPath = (options.environment['PATH'] ?? '').split(path.delimiter).filter((part) => path.isAbsolute(part));
  for (const directory of onPath) yield { directory, source: 'path' };
  for (const directory of onPath) {
    const configured = await pgConfig(path.join(directory, 'pg_config'), options);
    if (configured !== undefined) yield { directory: configured, source: 'pg_config' };
  }
  for (const place of PLACES) for (const directory of await expand(place)) yield { directory, source: 'system' };
}

async function pgConfig(program: string, { signal }: Abortable): Promise<string | undefined> {
  if (!(await isExecutable(program))) return undefined;
  const output = await output1(program, ['--bindir'], signal);
  return output !== undefined && path.isAbsolute(output) ? output : undefined;
}

/** Fills in a `*` within one part of a path. */
async function expand(place: string): Promise<readonly string[]> {
  const star = place.split('/').findIndex((part) => part.includes('*'));
  if (star === -1) return [place];
  const parts = place.split('/');
  const parent = parts.slice(0, star).join('/');
  const [before = '', after = ''] = (parts[star] ?? '').split('*');
  const names = (await readdir(parent).catch(absent)) ?? [];
  return names
    .filter((name) => name.startsWith(before) && name.endsWith(after) && name.length >= before.length + after.length)
    .map((name) => path.posix.join(parent, name, ...parts.slice(star + 1)));
}

async function examine(
  directory: string,
  source: Installation['source'],
  { signal }: Abortable,
): Promise<Installation | undefined> {
  const program = path.join(directory, 'postgres');
  if (!(await isExecutable(program)) || !(await isExecutable(path.join(directory, 'initdb')))) return undefined;
  const [, version, major] =
    /\(PostgreSQL\) ((\d+)\S*)/.exec((await output1(program, ['--version'], signal)) ?? '') ?? [];
  if (version === undefined) return undefined;
  return { major: Number(major), version, binDirectory: directory, source };
}

async function embedded(options: FindPostgresOptions): Promise<readonly Installation[]> {
  if (options.embedded === undefined) return [];
  for (const from of options.embedded.from) {
    const found = await findEmbeddedPackage(from);
    const major = Number.parseInt(found?.version ?? '', 10);
    if (found === undefined || (options.major !== undefined && options.major !== major)) continue;
    const bin = await prepareEmbedded(found, options.embedded.cacheDirectory, options);
    const installation = await examine(bin, 'embedded', options);
    if (installation !== undefined) return [installation];
  }
  return [];
}

/** First line of a program's output; `undefined` when it does not run here (a missing library, another architecture). */
async function output1(
  program: string,
  args: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  return run(program, args, { signal, timeout: 20_000 }).then(
    ({ stdout }) => stdout.split('\n')[0]?.trim(),
    () => {
      signal?.throwIfAborted();
      return undefined;
    },
  );
}

async function isExecutable(program: string): Promise<boolean> {
  return access(program, constants.X_OK).then(
    () => true,
    () => false,
  );
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes(error.code ?? '')) throw error;
}
