/** The options by which `verify` and `wal verify` are told how closely to look. @packageDocumentation */
import type { VerifyRequest } from '@keyframe/engine';
import { KeyframeError } from '@keyframe/contracts';
import type { OptionValues } from '../command-line/spec.ts';

/** The options of `verify` and `wal verify`. */
export const VERIFY_OPTIONS = {
  deep: { kind: 'boolean', flag: '--deep', description: 'read every byte: decode every frame, check every WAL record' },
  since: {
    kind: 'string',
    flag: '--since',
    value: 'time',
    description:
      'check again what was last checked before that: 2026-11-24T14:00:00Z, or an age such as 30d; 0s is all',
  },
  sample: {
    kind: 'string',
    flag: '--sample',
    value: 'percent',
    description: 'read only that random share, such as 5%',
  },
  seed: { kind: 'integer', flag: '--seed', value: 'number', description: 'repeat the sample of an earlier run' },
  head: {
    kind: 'string',
    flag: '--head',
    value: 'head',
    description: 'head of the signed chain that was kept elsewhere, as an earlier run printed it',
  },
  store: {
    kind: 'string',
    flag: '--store',
    value: 'name',
    description: 'what this store holds by itself (default: all stores of the repository as one)',
  },
  dryRun: { kind: 'boolean', flag: '--dry-run', description: 'tell what it would cost, and read nothing more' },
} as const;

/** The request that those options make. @throws {KeyframeError} INVALID_OPTION */
export async function requestOf(options: OptionValues<typeof VERIFY_OPTIONS>, now: Date): Promise<VerifyRequest> {
  const sample = options.sample === undefined ? undefined : shareOf(options.sample);
  return {
    deep: options.deep,
    since: options.since === undefined ? undefined : await sinceOf(options.since, now),
    sample,
    seed: sample === undefined ? undefined : (options.seed ?? Math.floor(Math.random() * 2 ** 32)),
    head: options.head === undefined ? undefined : headOf(options.head),
    dryRun: options.dryRun,
  };
}

async function sinceOf(text: string, now: Date): Promise<Date> {
  const { parseDuration } = await import('@keyframe/runtime/units');
  if (/^\d{4}-/.test(text)) {
    const time = new Date(text);
    if (!Number.isNaN(time.getTime())) return time;
    throw invalid('--since', text, 'time', 'Write a time with its offset, 2026-11-24T14:00:00Z, or an age, 30d.');
  }
  return new Date(now.getTime() - parseDuration(text));
}

function shareOf(text: string): number {
  const percent = /^(\d+(?:\.\d+)?) ?%$/.exec(text)?.[1];
  const share = Number(percent) / 100;
  if (percent !== undefined && share > 0 && share <= 1) return share;
  throw invalid('--sample', text, 'share', 'Write a share in percent, such as `--sample 5%`.');
}

function headOf(text: string): { readonly number: number; readonly sha256: string } {
  const [, number, sha256] = /^([1-9]\d{0,9}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (number !== undefined && sha256 !== undefined) return { number: Number(number), sha256 };
  throw invalid(
    '--head',
    text,
    'head of a chain',
    'Give it as `keyframe verify` prints it: the number, a colon, 64 digits.',
  );
}

function invalid(flag: string, text: string, what: string, hint: string): KeyframeError {
  return new KeyframeError('INVALID_OPTION', `${flag}: ${JSON.stringify(text)} is no ${what}`, { hint });
}
