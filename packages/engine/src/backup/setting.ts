import { KeyframeError } from '@keyframe/contracts';

const UNITS: Readonly<Record<string, number>> = { B: 1, kB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30, TB: 2 ** 40 };

/**
 * Bytes of a memory setting as SHOW prints it, e.g. `16MB`.
 * @throws {KeyframeError} SERVER_ERROR
 * @see https://www.postgresql.org/docs/18/config-setting.html#CONFIG-SETTING-NAMES-VALUES
 */
export function bytesOfSetting(name: string, text: string): number {
  const [, digits, unit = ''] = /^([0-9]+)\s*([kMGT]?B)$/.exec(text) ?? [];
  const factor = UNITS[unit];
  if (digits === undefined || factor === undefined)
    throw new KeyframeError('SERVER_ERROR', `the server answered ${JSON.stringify(text)} for ${name}`, {
      hint: 'Check with psql: `show ' + name + '`; a pooler in between may answer for the server.',
    });
  return Number(digits) * factor;
}
