/** Google's answers in our codes. @packageDocumentation */
import { hasCode, KeyframeError } from '@keyframe/contracts';
import { clockSkewMs, type HttpResponse, phaseDetails, throttleDetails } from '@keyframe/http';

/** What a request was about. */
export interface About {
  readonly bucket: string;
  /** Object key; absent for requests about the bucket. */
  readonly key?: string | undefined;
}

interface Answer extends Pick<HttpResponse, 'status' | 'headers'> {
  readonly reason: string;
  readonly message: string;
}

/** Google writes JSON, or for object bodies plain text. */
function answerOf({ status, headers }: HttpResponse, text: string): Answer {
  try {
    const { error } = JSON.parse(text) as {
      error?: { message?: string; errors?: ReadonlyArray<{ reason?: string }> } | string;
    };
    if (typeof error === 'object')
      return { status, headers, message: error.message ?? '', reason: error.errors?.[0]?.reason ?? '' };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return { status, headers, message: text.trim().slice(0, 500), reason: '' };
}

/** The fault that an answer stands for. Conditions that were not met are the caller's to name. */
export function faultOf(response: HttpResponse, text: string, about: About, now: Date): KeyframeError {
  const answer = answerOf(response, text);
  const { status, message } = answer;
  const what = about.key === undefined ? `the bucket ${about.bucket}` : `object '${about.key}'`;
  const init = { details: { ...about, status }, cause: new Error(`${status} ${message}`) };
  const said = message === '' ? `status ${status}` : message;
  if (status === 404) return absent(answer, about, what, init);
  if (status === 401 || status === 403) return denied(answer, about, what, now);
  if (status === 412) return new KeyframeError('CONFLICT', `${what} is not as expected`, init);
  if (isTransient(answer)) {
    const details = { ...init.details, ...phaseDetails(status), ...throttleDetails(status, answer.headers, now) };
    return new KeyframeError('UNAVAILABLE', `${what}: ${said}`, { ...init, details });
  }
  if (status === 400 && answer.reason === 'userProjectMissing')
    return new KeyframeError('INVALID_OPTION', `${what}: the bucket wants to know who pays`, {
      ...init,
      hint: 'Set `userProject` to the project that pays for requests.',
    });
  const hint = 'Check the options of the store against the message.';
  return new KeyframeError('INVALID_OPTION', `${what}: ${said}`, { ...init, hint });
}

/** A checksum that does not fit is a fault of the line: the next attempt sends the bytes anew. */
function isTransient({ status, message }: Answer): boolean {
  return status >= 500 || status === 429 || status === 408 || status === 410 || /md5|crc32c|checksum/i.test(message);
}

function absent({ message }: Answer, about: About, what: string, init: object): KeyframeError {
  if (about.key !== undefined && !/bucket (does not exist|not found)/i.test(message))
    return new KeyframeError('NOT_FOUND', `${what} does not exist`, init);
  return new KeyframeError('INVALID_OPTION', `there is no bucket ${about.bucket}`, {
    ...init,
    hint: `Correct \`bucket\`, or make it: \`gcloud storage buckets create gs://${about.bucket}\`.`,
  });
}

function denied(answer: Answer, about: About, what: string, now: Date): KeyframeError {
  const { status, reason, message, headers } = answer;
  const init = { details: { ...about, status }, cause: new Error(`${status} ${message}`) };
  if (/rateLimitExceeded/i.test(reason))
    return new KeyframeError('UNAVAILABLE', `${what}: ${message}`, {
      ...init,
      details: { ...init.details, throttled: true },
    });
  if (/retention|hold/i.test(`${reason} ${message}`))
    return new KeyframeError('ACCESS_DENIED', `${what} is locked: ${message}`, {
      ...init,
      hint: 'Wait until its retention ends; `keyframe expire` removes it then.',
    });
  const skew = clockSkewMs(headers, now);
  if (skew !== undefined)
    return new KeyframeError('ACCESS_DENIED', `${what}: the clock of this host is ${Math.round(skew / 1000)} s off`, {
      ...init,
      hint: 'Set the clock of this host: `timedatectl set-ntp true`.',
    });
  if (status === 401)
    return new KeyframeError('ACCESS_DENIED', `${what}: the credentials are not accepted: ${message}`, {
      ...init,
      hint: 'Check `keyFile` or `credentials`; `gcloud auth application-default print-access-token` shows what this host has.',
    });
  return new KeyframeError('ACCESS_DENIED', `${what}: ${message}`, {
    ...init,
    hint: 'Give the account the role that `keyframe setup --store` prints, and check that `bucket` is one of yours.',
  });
}

/** An object that is not there may be one of a bucket that is not there, when the answer does not say which. */
export function isVague(fault: KeyframeError): boolean {
  return fault.code === 'NOT_FOUND' && !(fault.cause instanceof Error && /no such object/i.test(fault.cause.message));
}

/** A condition that was not met, in the words of the call that set it. */
export function ofCondition(error: unknown, about: About & { readonly key: string }, ifAbsent: boolean): unknown {
  if (!hasCode(error, 'CONFLICT')) return error;
  return ifAbsent
    ? new KeyframeError('ALREADY_EXISTS', `object '${about.key}' exists`, { cause: error, details: { ...about } })
    : new KeyframeError('CONFLICT', `object '${about.key}' was replaced in between`, {
        cause: error,
        details: { ...about },
      });
}
