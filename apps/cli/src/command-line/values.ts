import { hasCode, KeyframeError } from '@keyframe/contracts';
import { formatDuration, formatSize, parseDuration, parseSize } from '@keyframe/runtime/units';
import type { NumberOption, OptionSpec } from './spec.ts';

/**
 * The value that `run` gets: `given` is commander's, or `undefined`.
 * @throws {KeyframeError} INVALID_OPTION
 */
export function readValue(spec: OptionSpec, given: unknown): boolean | string | number | readonly string[] | undefined {
  // The parser takes `--no-sync` for an option `sync` that is switched off.
  if (spec.kind === 'boolean') return given === !spec.flag.startsWith('--no-');
  if (spec.kind === 'repeatable') return Array.isArray(given) ? (given as string[]) : [];
  const text = typeof given === 'string' ? given : spec.default;
  if (text === undefined) {
    if (spec.required !== true) return undefined;
    throw new KeyframeError('INVALID_OPTION', `the option ${spec.flag} <${spec.value}> is missing`, {
      hint: `Give ${spec.flag}: ${spec.description}.`,
    });
  }
  if (spec.kind !== 'string') return readNumber(spec, text);
  // An unset variable in a script: `--to "$DIR"` must not mean the current directory.
  if (text === '')
    throw new KeyframeError('INVALID_OPTION', `${spec.flag} is empty`, {
      hint: `Give ${spec.flag}: ${spec.description}.`,
    });
  if (spec.choices !== undefined && !spec.choices.includes(text))
    throw new KeyframeError('INVALID_OPTION', `${spec.flag} cannot be ${JSON.stringify(text)}`, {
      hint: `Use ${spec.flag} with one of ${spec.choices.join(', ')}.`,
    });
  return text;
}

const PARSERS: Readonly<Record<NumberOption['kind'], (text: string) => number>> = {
  size: parseSize,
  duration: parseDuration,
  integer: (text) => {
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(value)) return value;
    throw new KeyframeError('INVALID_OPTION', `${JSON.stringify(text)} is no whole number`);
  },
};

const SHOW: Readonly<Record<NumberOption['kind'], (value: number) => string>> = {
  size: formatSize,
  duration: formatDuration,
  integer: String,
};

function readNumber(
  { kind, flag, minimum = 0, maximum = Number.MAX_SAFE_INTEGER }: NumberOption,
  text: string,
): number {
  let value: number;
  try {
    value = PARSERS[kind](text);
  } catch (error) {
    if (!hasCode(error, 'INVALID_OPTION')) throw error;
    throw new KeyframeError('INVALID_OPTION', `${flag}: ${error.message}`, {
      hint: error.hint ?? `Give ${flag} a number.`,
    });
  }
  if (value >= minimum && value <= maximum) return value;
  const range =
    maximum === Number.MAX_SAFE_INTEGER
      ? `at least ${SHOW[kind](minimum)}`
      : `from ${SHOW[kind](minimum)} to ${SHOW[kind](maximum)}`;
  throw new KeyframeError('INVALID_OPTION', `${flag} cannot be ${text}`, { hint: `Give ${flag} a value ${range}.` });
}
