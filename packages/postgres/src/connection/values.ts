import { KeyframeError } from '@keyframe/contracts';
import type { Keyword, Parameters } from './keywords.ts';

/** The value of `keyword` if it is set, which must be one of `choices`. */
export function readChoice<Choice extends string>(
  parameters: Parameters,
  keyword: Keyword,
  choices: readonly Choice[],
): Choice | undefined {
  const parameter = parameters.get(keyword);
  if (parameter === undefined || parameter.value === '') return undefined;
  const found = choices.find((choice) => choice === parameter.value);
  if (found !== undefined) return found;
  throw invalid(
    parameter.origin,
    `${JSON.stringify(parameter.value)} is no value of it`,
    `one of ${choices.join(', ')}`,
  );
}

/** The value of `keyword` if it is set, which must be an integer of 32 bits. */
export function readNumber(parameters: Parameters, keyword: Keyword): number | undefined {
  const parameter = parameters.get(keyword);
  if (parameter === undefined || parameter.value.trim() === '') return undefined;
  const value = Number(parameter.value);
  if (/^\s*[+-]?\d+\s*$/.test(parameter.value) && Math.abs(value) < 2 ** 31) return value;
  throw invalid(parameter.origin, `${JSON.stringify(parameter.value)} is no integer`, 'a whole number');
}

/** An error about the parameter or variable `origin`. */
export function invalid(origin: string, reason: string, wanted: string): KeyframeError {
  const place = /^PG[A-Z]+$/.test(origin) ? 'the environment' : 'the source url';
  return new KeyframeError('INVALID_OPTION', `connection parameter ${origin}: ${reason}`, {
    hint: `Set ${origin} in ${place} to ${wanted}.`,
    details: { parameter: origin },
  });
}
