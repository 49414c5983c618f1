import { inspect } from 'node:util';
import type { Log } from '@keyframe/contracts';
import type { Talk } from './talk.ts';

/** How much is said, and what must not be. */
export interface LogOptions {
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** Takes secrets out of every line. */
  readonly redact: (text: string) => string;
}

/** Lines on stderr: warnings always, information unless quiet, details when verbose. */
export function createLog(talk: Talk, { quiet, verbose, redact }: LogOptions): Log {
  const say =
    (label: string) =>
    (message: string, fields?: object): void =>
      talk.line(redact(`keyframe: ${label}${message}${formatFields(fields)}`));
  const nothing = (): void => undefined;
  return {
    debug: verbose ? say('debug: ') : nothing,
    info: quiet ? nothing : say(''),
    warn: say('warning: '),
  };
}

function formatFields(fields: object | undefined): string {
  const text = Object.entries(fields ?? {}).map(([name, value]) => {
    const shown = typeof value === 'string' ? value : inspect(value, { depth: 2, breakLength: Infinity });
    return `${name}=${shown}`;
  });
  return text.length === 0 ? '' : ` (${text.join(', ')})`;
}
