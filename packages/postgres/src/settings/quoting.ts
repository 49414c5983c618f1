/**
 * Quoting for the two languages in play: postgresql.conf values, and shell words inside command settings.
 * @see ParseConfigFp() and DeescapeQuotedString() in PostgreSQL's src/backend/utils/misc/guc-file.l
 * @packageDocumentation
 */
import { KeyframeError } from '@keyframe/contracts';

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/**
 * A value as a quoted postgresql.conf string. A line break becomes an escape, since a setting must stay on its line.
 * @throws {KeyframeError} INVALID_OPTION for a NUL, which no setting can hold.
 */
export function quoteForConfig(value: string): string {
  if (value.includes('\0')) throw new KeyframeError('INVALID_OPTION', 'a PostgreSQL setting cannot hold a NUL byte');
  const escaped = value
    .replaceAll('\\', '\\\\')
    .replaceAll("'", "''")
    .replaceAll('\n', String.raw`\n`)
    .replaceAll('\r', String.raw`\r`);
  return `'${escaped}'`;
}

/** The value of a setting as it stands in postgresql.conf, quoted or bare. */
export function unquoteFromConfig(token: string): string {
  if (!token.startsWith("'")) return token;
  return token.slice(1, -1).replaceAll(/''|\\([0-7]{1,3}|[\s\S])/g, (found: string, escape: string | undefined) => {
    if (escape === undefined) return "'";
    if (/^[0-7]/.test(escape)) return String.fromCharCode(Number.parseInt(escape, 8) & 0xff);
    return ESCAPES[escape] ?? escape;
  });
}

const PLAIN_WORD = /^[A-Za-z0-9_@+=:,./-]+$/;

/**
 * One word for a POSIX shell, whatever it holds.
 * @throws {KeyframeError} INVALID_OPTION for a NUL, which no argument can hold.
 */
export function shellQuote(word: string): string {
  if (word.includes('\0')) throw new KeyframeError('INVALID_OPTION', 'a command argument cannot hold a NUL byte');
  // A leading `=` word would be an assignment as the first word; quoting it keeps it a word everywhere.
  return PLAIN_WORD.test(word) && !word.includes('=') ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
