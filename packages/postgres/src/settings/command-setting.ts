/**
 * archive_command, restore_command and their like: shell commands in which PostgreSQL replaces `%p`, `%f`, `%r` and `%%`.
 * @see https://www.postgresql.org/docs/18/runtime-config-wal.html#GUC-ARCHIVE-COMMAND
 * @packageDocumentation
 */
import { KeyframeError } from '@keyframe/contracts';
import { shellQuote } from './quoting.ts';

/** Words that PostgreSQL fills in: the path, the file name, the file of the last restart point. */
const PLACEHOLDERS: ReadonlySet<string> = new Set(['%p', '%f', '%r']);
const UNSAFE_BARE = /[|&;<>()$`!*?[\]{}~#\n]/;
const LINE_BREAK = /[\n\r]/;

/**
 * The value of a command setting that runs exactly these words. A word that *is* `%p`, `%f` or `%r` is filled in by
 * PostgreSQL; in every other word `%` is doubled, so that it stays what it is.
 * @throws {KeyframeError} INVALID_OPTION for no words, a NUL, or a line break (ALTER SYSTEM refuses those).
 */
export function quoteForCommandSetting(argv: readonly string[]): string {
  if (argv.length === 0) throw new KeyframeError('INVALID_OPTION', 'a command setting needs at least one word');
  return argv
    .map((word) => {
      if (LINE_BREAK.test(word))
        throw new KeyframeError(
          'INVALID_OPTION',
          `${JSON.stringify(word)} has a line break, which no setting can hold`,
          {
            hint: 'Rename the file or directory, or point `--config` to a path without line breaks.',
          },
        );
      return PLACEHOLDERS.has(word) ? `"${word}"` : shellQuote(word).replaceAll('%', '%%');
    })
    .join(' ');
}

/**
 * The words of a command setting, placeholders as `%p`, `%f`, `%r` and `%%` undone; `undefined` when it is more than one
 * simple command (operators, expansions, globs, assignments), since then only a shell could tell what it runs.
 * A placeholder inside a longer word stays as written.
 */
export function parseCommandSetting(text: string): string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  let rest = text;
  while (rest.length > 0) {
    const piece = nextPiece(rest);
    if (piece === undefined) return undefined;
    rest = rest.slice(piece.length);
    if (piece.value !== undefined) word = (word ?? '') + piece.value;
    else if (word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  if (word !== undefined) words.push(word);
  if (words.length === 0 || words[0]?.includes('=') === true) return undefined;
  return words.map((each) => each.replaceAll('%%', '%'));
}

/** One quoted or bare piece of a word; a piece without a value is the blank between words. */
function nextPiece(text: string): { readonly length: number; readonly value?: string } | undefined {
  const blank = /^[ \t]+/.exec(text);
  if (blank !== null) return { length: blank[0].length };
  const single = /^'([^']*)'/.exec(text);
  if (single !== null) return { length: single[0].length, value: single[1] ?? '' };
  const double = /^"((?:[^"\\$`]|\\[\s\S])*)"/.exec(text);
  if (double !== null)
    return {
      length: double[0].length,
      value: (double[1] ?? '').replaceAll(/\\(["\\$`])/g, '$1').replaceAll('\\\n', ''),
    };
  const escaped = /^\\([\s\S])/.exec(text);
  if (escaped !== null) return { length: 2, value: escaped[1] === '\n' ? '' : (escaped[1] ?? '') };
  const bare = /^[^ \t'"\\]+/.exec(text);
  if (bare === null || UNSAFE_BARE.test(bare[0])) return undefined;
  return { length: bare[0].length, value: bare[0] };
}
