import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Environment } from './configuration.ts';
import type { KeyPath } from './problems.ts';
import type { Redaction } from './redaction.ts';

/** What {@link resolveSecrets} needs to know of the outside. */
export interface SecretSources {
  readonly environment: Environment;
  /** Relative `${file:…}` paths start here: the config file's directory. */
  readonly directory: string;
  readonly redaction: Redaction;
}

/** A reference that could not be resolved. */
export interface SecretProblem {
  readonly path: KeyPath;
  readonly reason: string;
  readonly fix: string;
}

/** The data with every reference replaced by its value. */
export interface ResolvedSecrets {
  readonly data: unknown;
  readonly problems: readonly SecretProblem[];
  /** Files that secrets were read from, absolute. */
  readonly files: readonly string[];
  /** The values put in at each place, for messages about that place: no length is too short to hide there. */
  readonly places: ReadonlyArray<{ readonly path: KeyPath; readonly values: readonly string[] }>;
}

const REFERENCE = /\$(\$)?\{([^}]*)\}/g;
const KNOWN = 'Write ${env:NAME} or ${file:/path} ($${…} stands for the text itself).';

/** Replaces `${env:NAME}` and `${file:/path}` in every string, in whole or in part. Objects that are no plain data (plugins) pass as they are. */
export async function resolveSecrets(data: unknown, sources: SecretSources): Promise<ResolvedSecrets> {
  const problems: SecretProblem[] = [];
  const places: { path: KeyPath; values: string[] }[] = [];
  const files: string[] = [];

  const text = async (value: string, at: KeyPath): Promise<string> => {
    const values: string[] = [];
    let result = '';
    let end = 0;
    for (const match of value.matchAll(REFERENCE)) {
      result += value.slice(end, match.index);
      end = match.index + match[0].length;
      if (match[1] !== undefined) {
        result += match[0].slice(1);
        continue;
      }
      const found = await lookUp(match[2] ?? '', sources);
      if ('reason' in found) problems.push({ path: at, ...found });
      else {
        values.push(found.value);
        if (found.file !== undefined) files.push(found.file);
        sources.redaction.add(found.value);
        result += found.value;
      }
    }
    if (values.length > 0) places.push({ path: at, values });
    return result + value.slice(end);
  };

  const walk = async (value: unknown, at: KeyPath): Promise<unknown> => {
    if (typeof value === 'string') return await text(value, at);
    if (Array.isArray(value)) return await Promise.all(value.map((item, index) => walk(item, [...at, index])));
    if (!isPlainObject(value)) return value;
    const entries = Object.entries(value).map(async ([key, item]) => {
      // A JavaScript config may put the plugin object itself here.
      if (key === 'use' && typeof item === 'object') return [key, item] as const;
      return [key, await walk(item, [...at, key])] as const;
    });
    return Object.fromEntries(await Promise.all(entries));
  };

  return { data: await walk(data, []), problems, files, places };
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

type Found = { readonly value: string; readonly file?: string | undefined } | Omit<SecretProblem, 'path'>;

async function lookUp(reference: string, { environment, directory }: SecretSources): Promise<Found> {
  const [source, ...rest] = reference.split(':');
  const name = rest.join(':');
  if (rest.length === 0 || name === '') return { reason: `\${${reference}} names no source of a secret`, fix: KNOWN };
  if (source === 'env') return fromEnvironment(name, environment);
  if (source === 'file') return await fromFile(path.resolve(directory, name));
  return { reason: `\${${reference}}: there is no secret source ${JSON.stringify(source)}`, fix: KNOWN };
}

function fromEnvironment(name: string, environment: Environment): Found {
  const value = environment[name];
  if (value !== undefined && value !== '') return { value };
  return {
    reason: `the environment variable ${name} is ${value === undefined ? 'not set' : 'empty'}`,
    fix: `Set ${name} for every process that runs Keyframe, PostgreSQL's own included (it runs archive_command), or use \${file:/path}.`,
  };
}

async function fromFile(file: string): Promise<Found> {
  try {
    const value = (await readFile(file, 'utf8')).replace(/\r?\n$/, '');
    if (value !== '') return { value, file };
    return { reason: `the secret file ${file} is empty`, fix: `Write the secret into ${file}.` };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    const absent = code === 'ENOENT' || code === 'ENOTDIR';
    return {
      reason: `the secret file ${file} ${absent ? 'does not exist' : `cannot be read (${code})`}`,
      fix: absent
        ? `Create ${file}, readable only by the user that runs Keyframe.`
        : `Make ${file} readable for this user.`,
    };
  }
}
