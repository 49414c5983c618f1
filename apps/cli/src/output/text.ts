/** Plain text for people, on stdout. @packageDocumentation */
import { stripVTControlCharacters, styleText } from 'node:util';

/** What a piece of text means; the colour follows from it. */
export type TextStyle = 'good' | 'warning' | 'bad' | 'dim' | 'strong';

/** What `renderText` writes to. Colour appears on a terminal only and never with NO_COLOR. */
export interface TextOutput {
  line(text?: string): void;
  /** Aligned columns under a heading row; nothing at all without rows. Columns in `right` are aligned right. */
  table(
    header: readonly string[],
    rows: readonly (readonly string[])[],
    options?: { readonly right?: readonly number[] },
  ): void;
  /** `name: value` lines with the values aligned; an `undefined` value drops its line. */
  fields(pairs: readonly (readonly [name: string, value: string | undefined])[]): void;
  style(style: TextStyle, text: string): string;
}

const FORMATS = { good: 'green', warning: 'yellow', bad: 'red', dim: 'dim', strong: 'bold' } as const;

/** Text that goes to `write`, line by line. */
export function createTextOutput(write: (text: string) => void, colour: boolean): TextOutput {
  const style = (name: TextStyle, text: string): string =>
    // The stream was judged once, by `usesColour`.
    colour ? styleText(FORMATS[name], text, { validateStream: false }) : text;
  return {
    style,
    line: (text = '') => write(`${text}\n`),
    table: (header, rows, { right = [] } = {}) => {
      if (rows.length === 0) return;
      const all = [header.map((cell) => style('strong', cell)), ...rows];
      const widths = header.map((_, column) => Math.max(...all.map((row) => widthOf(row[column] ?? ''))));
      for (const row of all) {
        const cells = widths.map((width, column) => pad(row[column] ?? '', width, right.includes(column)));
        write(`${cells.join('  ').trimEnd()}\n`);
      }
    },
    fields: (pairs) => {
      const given = pairs.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
      const width = Math.max(0, ...given.map(([name]) => name.length)) + 1;
      for (const [name, value] of given) write(`${style('dim', `${name}:`.padEnd(width))} ${value}\n`);
    },
  };
}

const widthOf = (text: string): number => stripVTControlCharacters(text).length;

function pad(text: string, width: number, right: boolean): string {
  const filling = ' '.repeat(Math.max(0, width - widthOf(text)));
  return right ? filling + text : text + filling;
}

/** Whether a stream is to be coloured: a terminal without NO_COLOR, or anything with FORCE_COLOR. */
export function usesColour(
  stream: { readonly isTTY?: boolean | undefined },
  environment: Readonly<Record<string, string | undefined>>,
): boolean {
  const force = environment['FORCE_COLOR'];
  if (force !== undefined) return force !== '0' && force !== 'false';
  return stream.isTTY === true && (environment['NO_COLOR'] ?? '') === '' && environment['TERM'] !== 'dumb';
}
