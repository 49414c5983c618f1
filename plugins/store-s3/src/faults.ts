import { type AdapterErrorCode, type ErrorDetails, isKeyframeError, KeyframeError } from '@keyframe/contracts';
import type { S3Options } from './options.ts';

/** What was asked of the store, for messages. */
export interface About {
  /** The right that it takes, as IAM names it. */
  readonly action: string;
  readonly key?: string | undefined;
  /** The request was about the bucket itself: `not found` then means the bucket. */
  readonly bucket?: boolean | undefined;
}

/** Whose bucket it is, for messages. */
export interface Place {
  readonly options: Pick<S3Options, 'bucket' | 'endpoint' | 'region' | 'prefix'>;
  readonly host: { readonly now: () => Date };
}

/** What the SDK throws, as far as it is of use. */
interface SdkFault extends Error {
  readonly code?: unknown;
  readonly Region?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly headers?: Readonly<Record<string, string>>; readonly statusCode?: number };
}

interface Words {
  readonly code: AdapterErrorCode;
  readonly text: string;
  readonly hint?: string | undefined;
  readonly details?: ErrorDetails | undefined;
}

const THROTTLED = /^(SlowDown|Throttl|RequestLimitExceeded|TooManyRequests|RequestThrottled|ServiceUnavailable)/;
/** What a server says of a request that was damaged or cut on its way: the same again may pass. */
const ON_THE_WAY =
  /^(BadDigest|XAmzContent|XAmzContentSHA256Mismatch|XAmzContentChecksumMismatch|IncompleteBody|RequestTimeout|OperationAborted|ConditionalRequestConflict|InternalError|InvalidChunkSizeError)$/;
const WRONG_REGION =
  /^(PermanentRedirect|TemporaryRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException|301|307)$/;
const EXPIRED = /^(ExpiredToken|ExpiredTokenException|TokenRefreshRequired|InvalidToken)$/;
const NO_CREDENTIALS = /^(CredentialsProviderError|TokenProviderError|AuthorizationFailure)$/;
const UNTRUSTED = /SELF_SIGNED|UNABLE_TO_(VERIFY|GET)|ERR_TLS_CERT_ALTNAME_INVALID|CERT_UNTRUSTED/;

const NETWORK_HINTS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'Correct `endpoint` or `region`, or the name resolution of this host.',
  EAI_AGAIN: 'Check the name resolution of this host.',
  ECONNREFUSED: 'Start the server, or correct `endpoint`.',
  EPROTO: 'Write http:// or https:// in `endpoint`, whichever the server speaks.',
  CERT_HAS_EXPIRED: 'Renew the certificate of the server, or set the clock of this host.',
};

const hasStatus = (error: unknown, status: number): boolean => statusOf(error as SdkFault) === status;
const statusOf = ({ $metadata, $response }: SdkFault): number | undefined =>
  $metadata?.httpStatusCode ?? $response?.statusCode;

/** True when the server refused because of our `If-None-Match` or `If-Match`. */
export const isPrecondition = (error: unknown): boolean =>
  isKeyframeError(error) && (hasStatus(error.cause, 412) || error.details['reason'] === 'PreconditionFailed');

/** True when the server may have done what was asked although it said no such thing. */
export function isUnsettled(error: unknown): boolean {
  if (!isKeyframeError(error) || error.code !== 'UNAVAILABLE' || error.details['throttled'] === true) return false;
  return error.details['connected'] !== false;
}

/** The fault of one request in our words. What is none of the store's passes as it is. */
export function faultOf(error: unknown, about: About, place: Place): unknown {
  if (!(error instanceof Error) || isKeyframeError(error)) return error;
  const words = wordsFor(error, about, place);
  if (words === undefined) return error;
  const { code, text, hint, details } = words;
  const key = about.key === undefined ? {} : { key: about.key };
  return new KeyframeError(code, `${subject(about, place)}: ${text}`, {
    cause: error,
    hint,
    details: { ...key, action: about.action, reason: error.name, ...details },
  });
}

const subject = ({ key, bucket }: About, { options }: Place): string =>
  key === undefined || bucket === true ? `bucket '${options.bucket}'` : `object '${key}'`;

function wordsFor(error: SdkFault, about: About, place: Place): Words | undefined {
  const status = statusOf(error);
  if (status === undefined) return networkWords(error, place) ?? credentialWords(error);
  return (
    placeWords(error, status, about, place) ??
    transientWords(error, status, place) ??
    rightsWords(error, status, about, place) ??
    requestWords(error, status)
  );
}

/** What is not where it was looked for. */
function placeWords(error: SdkFault, status: number, about: About, place: Place): Words | undefined {
  const { name } = error;
  const { options } = place;
  if (name === 'NoSuchBucket' || (name === 'NotFound' && about.bucket === true))
    return {
      code: 'INVALID_OPTION',
      text: `there is no bucket '${options.bucket}'${at(options)}`,
      hint: 'Make the bucket, or correct `bucket`, `region` and `endpoint` of the store.',
    };
  const elsewhere = regionWords(error, status, place);
  if (elsewhere !== undefined) return elsewhere;
  if (status === 404 || name === 'NoSuchKey' || name === 'NoSuchVersion')
    return { code: 'NOT_FOUND', text: name === 'NoSuchUpload' ? 'its upload is gone' : 'not found' };
  if (status === 412) return { code: 'CONFLICT', text: 'another version is there' };
  return undefined;
}

/** Only S3 itself knows where the bucket is; it says so in a header, also to requests without a body. */
function regionWords(error: SdkFault, status: number, { options }: Place): Words | undefined {
  const told = error.$response?.headers?.['x-amz-bucket-region'] ?? error.Region;
  const region = typeof told === 'string' && told !== '' && told !== options.region ? told : undefined;
  const moved = status === 301 || status === 307 || (status < 500 && WRONG_REGION.test(error.name));
  if (!moved && (status !== 400 || region === undefined)) return undefined;
  if (region === undefined)
    return {
      code: 'INVALID_OPTION',
      text: `bucket '${options.bucket}' is not in that region${at(options)}: ${error.message}`,
      hint: 'Correct `region` and `endpoint` of the store.',
    };
  return {
    code: 'INVALID_OPTION',
    text: `bucket '${options.bucket}' is in the region ${region}`,
    hint: `Set \`region: ${region}\` of the store.`,
  };
}

const at = ({ endpoint, region }: Place['options']): string =>
  ` at ${endpoint ?? (region === undefined ? 'AWS' : `AWS, ${region}`)}`;

/** What may pass when it is asked again. */
function transientWords(error: SdkFault, status: number, place: Place): Words | undefined {
  const { name, message } = error;
  if (name === 'InvalidObjectState')
    return {
      code: 'UNAVAILABLE',
      text: 'it is archived and must be thawed before it can be read',
      hint: 'Run `keyframe restore --thaw`.',
      details: { archived: true },
    };
  if (status === 429 || status === 503 || THROTTLED.test(name))
    return {
      code: 'UNAVAILABLE',
      text: `the store asks to slow down: ${message}`,
      details: { throttled: true, ...retryAfter(error, place) },
    };
  if (status >= 500 && status !== 501) return { code: 'UNAVAILABLE', text: `${status} ${name}: ${message}` };
  if (ON_THE_WAY.test(name) || status === 409) return { code: 'UNAVAILABLE', text: `${name}: ${message}` };
  return undefined;
}

function retryAfter(error: SdkFault, { host }: Place): ErrorDetails {
  const header = error.$response?.headers?.['retry-after'];
  if (header === undefined) return {};
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1_000 : Date.parse(header) - host.now().getTime();
  return Number.isFinite(ms) && ms >= 0 ? { retryAfterMs: ms } : {};
}

/** Who we are, and what we may. */
function rightsWords(error: SdkFault, status: number, about: About, place: Place): Words | undefined {
  const { name, message } = error;
  const said = (text: string, hint: string): Words => ({ code: 'ACCESS_DENIED', text, hint });
  if (EXPIRED.test(name))
    return said(
      `the credentials have expired or are no longer valid: ${message}`,
      'Renew the credentials of the store.',
    );
  if (name === 'SignatureDoesNotMatch')
    return said('the secret does not belong to the access key', 'Correct `secretAccessKey` of the store.');
  if (name === 'InvalidAccessKeyId')
    return said('the store does not know the access key', 'Correct `accessKeyId` and `endpoint` of the store.');
  if (name === 'RequestTimeTooSkewed' || name === 'RequestExpired')
    return said(`the clock of this host is wrong${skew(error, place)}`, 'Set the clock of this host, e.g. by NTP.');
  if (name.startsWith('KMS.') || name.startsWith('KMS'))
    return said(`its key cannot be used: ${message}`, 'Check the state of the key and the rights on it.');
  if (status !== 403 && status !== 401) return undefined;
  const where =
    about.key === undefined ? place.options.bucket : `${place.options.bucket}/${place.options.prefix}${about.key}`;
  return said(
    `${about.action} on ${where} is denied: ${message}`,
    'Grant that right, as `keyframe setup --store` prints it, or use other credentials.',
  );
}

function skew(error: SdkFault, { host }: Place): string {
  const theirs = Date.parse(error.$response?.headers?.['date'] ?? '');
  const minutes = Math.round((host.now().getTime() - theirs) / 60_000);
  return Number.isFinite(minutes) && minutes !== 0 ? ` by ${minutes} minutes` : '';
}

/** What the server will not do however often it is asked. */
function requestWords(error: SdkFault, status: number): Words {
  const { name, message } = error;
  if (status === 411 || name === 'MissingContentLength' || name === 'InvalidDigest')
    return {
      code: 'UNSUPPORTED',
      text: `${name}: ${message}`,
      hint: 'Set `checksums: when-required` of the store.',
    };
  if (name === 'InvalidStorageClass')
    return { code: 'INVALID_OPTION', text: message, hint: 'Correct `storageClass` of the store.' };
  return { code: 'UNSUPPORTED', text: `the store refuses this: ${status} ${name}: ${message}` };
}

function credentialWords({ name, message }: SdkFault): Words | undefined {
  if (name === 'TimeoutError') return { code: 'UNAVAILABLE', text: message };
  if (/region is missing/i.test(message))
    return { code: 'INVALID_OPTION', text: 'the region is not known', hint: 'Set `region` of the store.' };
  if (!NO_CREDENTIALS.test(name)) return undefined;
  return {
    code: 'ACCESS_DENIED',
    text: `no credentials: ${message}`,
    hint: 'Set `profile`, `accessKeyId` or `roleArn` of the store, or the environment that the SDK reads.',
  };
}

/** No answer at all. */
function networkWords(error: SdkFault, { options }: Place): Words | undefined {
  const code = typeof error.code === 'string' ? error.code : undefined;
  const where = options.endpoint ?? 'AWS';
  if (error.name === 'TimeoutError')
    return {
      code: 'UNAVAILABLE',
      text: `${where}: ${error.message.replace(/^@smithy[^ ]* - /, '')}`,
      hint: 'Check the network, `proxy` and `endpoint`.',
      details: { connected: !/connection|connect/i.test(error.message) || /socket/.test(error.message) },
    };
  if (code === undefined)
    return /aborted|hang up|premature|other side closed/i.test(error.message) ? broken(where, error) : undefined;
  if (UNTRUSTED.test(code))
    return {
      code: 'INVALID_OPTION',
      text: `the certificate of ${where} is not trusted: ${code}`,
      hint: 'Set `certificateAuthority` of the store to the certificate of its authority, and `endpoint` to the name in it.',
      details: { connected: false },
    };
  if (!/^E[A-Z]+|^CERT_|^UND_ERR|^HPE_|^ERR_(SSL|TLS|STREAM)/.test(code)) return undefined;
  const before = /^(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|EPROTO|CERT_)/.test(code);
  return {
    code: 'UNAVAILABLE',
    text: before ? `no connection to ${where}: ${code}` : `the connection to ${where} broke: ${code}`,
    hint: NETWORK_HINTS[code] ?? 'Check the network, `proxy` and `endpoint`.',
    details: { connected: !before },
  };
}

const broken = (where: string, error: Error): Words => ({
  code: 'UNAVAILABLE',
  text: `the connection to ${where} broke: ${error.message}`,
  hint: 'Check the network, `proxy` and `endpoint`.',
  details: { connected: true },
});
