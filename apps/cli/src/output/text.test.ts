import { describe, expect, it } from 'vitest';
import { formatTime } from './format.ts';
import { createTextOutput, usesColour } from './text.ts';

function written(use: (out: ReturnType<typeof createTextOutput>) => void, colour = false): string {
  let text = '';
  use(createTextOutput((part) => void (text += part), colour));
  return text;
}

describe('text output', () => {
  it('aligns columns, numbers to the right', () =>
    expect(
      written((out) =>
        out.table(
          ['label', 'size'],
          [
            ['a', '1 B'],
            ['longer', '10 MiB'],
          ],
          { right: [1] },
        ),
      ),
    ).toBe('label     size\na          1 B\nlonger  10 MiB\n'));

  it('aligns coloured cells by what is seen', () =>
    expect(written((out) => out.table(['x', 'y'], [[out.style('good', 'ab'), 'c']]), true)).toBe(
      '\u001B[1mx\u001B[22m   \u001B[1my\u001B[22m\n\u001B[32mab\u001B[39m  c\n',
    ));

  it('has no table without rows', () => expect(written((out) => out.table(['a'], []))).toBe(''));

  it('drops fields without a value', () =>
    expect(
      written((out) =>
        out.fields([
          ['size', '5'],
          ['gone', undefined],
          ['longer', '6'],
        ]),
      ),
    ).toBe('size:   5\nlonger: 6\n'));

  it.each([
    [{ isTTY: true }, {}, true],
    [{ isTTY: true }, { NO_COLOR: '1' }, false],
    [{ isTTY: true }, { NO_COLOR: '' }, true],
    [{ isTTY: true }, { TERM: 'dumb' }, false],
    [{}, {}, false],
    [{}, { FORCE_COLOR: '1' }, true],
  ])('on %j with %j has colour: %s', (stream, environment, colour) =>
    expect(usesColour(stream, environment)).toBe(colour),
  );
});

it.each([
  ['2026-11-24T05:32:48.000Z', '2026-11-24 05:32:48 UTC'],
  ['2026-11-24T05:30:00Z', '2026-11-24 05:30:00 UTC'],
  ['2026-11-24T05:32:48.120340Z', '2026-11-24 05:32:48.12034 UTC'],
  ['2026-11-24T06:32:48+01:00', '2026-11-24 05:32:48 UTC'],
  [new Date(0), '1970-01-01 00:00:00 UTC'],
])('%s is shown as %s', (time, text) => expect(formatTime(time)).toBe(text));
