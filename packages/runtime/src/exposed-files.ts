/** Finds files with secrets in them that others may read. @packageDocumentation */
import { stat } from 'node:fs/promises';

/** A file with a secret in it that others than its owner may read or change. */
export interface ExposedFile {
  /** Absolute path. */
  readonly file: string;
  /** Permission bits, octal. */
  readonly mode: string;
  /** One imperative sentence. */
  readonly fix: string;
}

/** As libpq has it for keys: the owner alone, or with a group where root owns it. */
const OWN = 0o600;
const ROOTS = 0o640;

/** Those of the files that are exposed, each once. What cannot be looked at is for others to tell. */
export async function findExposed(files: readonly string[]): Promise<ExposedFile[]> {
  const found = await Promise.all([...new Set(files)].toSorted().map(look));
  return found.filter((each) => each !== undefined);
}

async function look(file: string): Promise<ExposedFile | undefined> {
  const status = await stat(file).catch(() => undefined);
  // What is no regular file, such as a pipe of the shell, has no mode that says anything.
  if (status === undefined || !status.isFile()) return undefined;
  const allowed = status.uid === 0 ? ROOTS : OWN;
  const mode = status.mode & 0o777;
  if ((mode & ~allowed & 0o077) === 0) return undefined;
  const octal = (bits: number): string => bits.toString(8).padStart(4, '0');
  return { file, mode: octal(mode), fix: `Run \`chmod ${octal(mode & allowed)} ${file}\`.` };
}

/** Names under which a secret may stand in the config file, our plugins' and those that others are likely to take. */
const SECRET = /^(?:passphrase|identity|indexKey|.*(?:password|secret|token|accessKey))$/i;

/** Whether a secret stands in the config file itself rather than behind `${env:…}` or `${file:…}`. */
export function holdsSecret(data: unknown, passwordsIn: (url: string) => readonly string[]): boolean {
  if (typeof data !== 'object' || data === null) return false;
  return Object.entries(data).some(([name, value]) => {
    if (typeof value !== 'string') return name !== 'use' && holdsSecret(value, passwordsIn);
    if (value === '' || value.includes('${')) return false;
    if (name === 'url') return passwordsIn(value).length > 0;
    return SECRET.test(name) || value.includes('PRIVATE KEY-----');
  });
}
