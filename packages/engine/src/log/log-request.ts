import { isKeyframeError, KeyframeError } from '@keyframe/contracts';
import { parseTarget } from '../target/index.ts';
import { parseTargetTime } from '../target/time.ts';
import type { LogRequest } from './read-log.ts';

/** What a user may ask of the history, as text. */
export interface LogOptions {
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly timeZone?: string | undefined;
  readonly table?: string | undefined;
  readonly minRows?: number | undefined;
  readonly ddl?: boolean | undefined;
  readonly xid?: string | undefined;
  readonly timeline?: number | undefined;
  readonly limit?: number | undefined;
  readonly each?: boolean | undefined;
  readonly all?: boolean | undefined;
}

/** @throws {KeyframeError} INVALID_OPTION, TARGET_AMBIGUOUS */
export function parseLogRequest(
  options: LogOptions,
  context: { readonly localZone?: string | undefined; readonly now: () => Date },
): LogRequest {
  const { table, minRows, ddl, timeline, limit, each, all, timeZone } = options;
  const timeOf = (flag: '--since' | '--until', text: string | undefined): bigint | undefined => {
    try {
      return text === undefined ? undefined : parseTargetTime(text, { ...context, timeZone }).micros;
    } catch (error) {
      throw isKeyframeError(error) ? inWordsOf(flag, error) : error;
    }
  };
  const since = timeOf('--since', options.since);
  const until = timeOf('--until', options.until);
  if (since !== undefined && until !== undefined && since > until)
    throw new KeyframeError('INVALID_OPTION', '--since is later than --until', {
      hint: 'Give --since the earlier time.',
    });
  const target = options.xid === undefined ? undefined : parseTarget({ xid: options.xid }, context);
  const xid = target?.kind === 'xid' ? target.xid : undefined;
  return { since, until, table, minRows, ddl, timeline, limit, each, all, xid };
}

/** Times are read as those of recovery targets are, whose faults speak of these. */
function inWordsOf(flag: string, { code, message, hint, details, cause }: KeyframeError): KeyframeError {
  return new KeyframeError(code, `${flag}: ${message.replace('recovery target time', 'time')}`, {
    cause,
    hint: hint?.replaceAll('--time ', `${flag} `),
    details,
  });
}
