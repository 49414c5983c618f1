/**
 * The password file, `.pgpass`.
 * @see https://www.postgresql.org/docs/18/libpq-pgpass.html
 * @packageDocumentation
 */
import { readFile, stat } from 'node:fs/promises';
import { Secret } from '@keyframe/contracts';

/** Four patterns and a password. `undefined` as pattern: anything. */
export interface PasswordEntry {
  readonly host: string | undefined;
  readonly port: string | undefined;
  readonly database: string | undefined;
  readonly user: string | undefined;
  readonly password: Secret;
}

/** Reads the text of a password file. Lines that are no entry are passed over, as libpq does. */
export function parsePasswordFile(text: string): readonly PasswordEntry[] {
  return text.split(/\r?\n/).flatMap((line) => {
    if (line === '' || line.startsWith('#')) return [];
    const fields = splitFields(line);
    const [host, port, database, user, password] = fields;
    if (host === undefined || port === undefined || database === undefined || user === undefined) return [];
    if (password === undefined) return [];
    const pattern = (field: string): string | undefined => (field === '*' ? undefined : unescaped(field));
    return {
      host: pattern(host),
      port: pattern(port),
      database: pattern(database),
      user: pattern(user),
      password: new Secret(unescaped(password)),
    };
  });
}

/** Cuts at colons that no backslash protects. Escapes stay. */
function splitFields(line: string): readonly string[] {
  const fields = [''];
  for (const [piece] of line.matchAll(/\\.|[^\\]/g)) {
    if (piece === ':') fields.push('');
    else fields.push(`${fields.pop() ?? ''}${piece}`);
  }
  return fields;
}

const unescaped = (field: string): string => field.replaceAll(/\\(.)/g, '$1');

/** What a password is asked for. `host` is the name as given, or `localhost` for the default socket directory. */
export interface PasswordQuestion {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

const fits = (pattern: string | undefined, value: string): boolean => pattern === undefined || pattern === value;

/** The password of the first entry that fits. */
export function findPassword(entries: readonly PasswordEntry[], question: PasswordQuestion): Secret | undefined {
  return entries.find(
    (entry) =>
      fits(entry.host, question.host) &&
      fits(entry.port, String(question.port)) &&
      fits(entry.database, question.database) &&
      fits(entry.user, question.user),
  )?.password;
}

/** Entries of the password file at `path`, or the warning why it is not used. An absent file has no entries. */
export async function readPasswordFile(
  path: string,
): Promise<{ readonly entries: readonly PasswordEntry[]; readonly warning?: string }> {
  try {
    const found = await stat(path);
    if (!found.isFile()) return { entries: [], warning: `password file ${path} is not a plain file and is ignored` };
    if ((found.mode & 0o077) !== 0)
      return {
        entries: [],
        warning: `password file ${path} can be read by others and is ignored: run chmod 0600 ${path}`,
      };
    return { entries: parsePasswordFile(await readFile(path, 'utf8')) };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') return { entries: [] };
    return { entries: [], warning: `password file ${path} cannot be read (${String(code)}) and is ignored` };
  }
}
