/** Azure's answers in our codes. @packageDocumentation */
import { type ErrorDetails, KeyframeError } from '@keyframe/contracts';
import { clockSkewMs, type HttpResponse, phaseDetails, throttleDetails } from '@keyframe/http';
import { textIn } from './xml.ts';

/** What a request was about. */
export interface About {
  readonly account: string;
  readonly container: string;
  /** Object key; absent for requests about the container. */
  readonly key?: string | undefined;
}

interface Answer extends Pick<HttpResponse, 'status' | 'headers'> {
  readonly code: string;
  readonly message: string;
  readonly what: string;
  readonly about: About;
  readonly init: { readonly cause: Error; readonly details: ErrorDetails };
}

type Made = (answer: Answer, now: Date) => KeyframeError;

const denied =
  (text: string, hint: string): Made =>
  ({ what, init }) =>
    new KeyframeError('ACCESS_DENIED', `${what}: ${text}`, { ...init, hint });

const locked = denied('it is locked', 'Wait until its immutability policy ends; `keyframe expire` removes it then.');
const conflict: Made = ({ what, init, message }) =>
  new KeyframeError('CONFLICT', `${what} is not as expected: ${message}`, init);

const RIGHTS = 'Give the identity the role that `keyframe setup --store` prints.';

/** By Azure's own error codes, which come in a header even where there is no body. */
const KNOWN: Readonly<Record<string, Made>> = {
  BlobNotFound: ({ what, init }) => new KeyframeError('NOT_FOUND', `${what} does not exist`, init),
  ContainerNotFound: ({ about, init }) =>
    new KeyframeError('INVALID_OPTION', `the account ${about.account} has no container ${about.container}`, {
      ...init,
      hint: `Correct \`container\`, or make it: \`az storage container create --account-name ${about.account} --name ${about.container}\`.`,
    }),
  ContainerBeingDeleted: ({ about, init }) =>
    new KeyframeError('INVALID_OPTION', `the container ${about.container} is being deleted`, {
      ...init,
      hint: 'Set `container` to another one, or make it again in a minute.',
    }),
  BlobAlreadyExists: conflict,
  ConditionNotMet: conflict,
  TargetConditionNotMet: conflict,
  LeaseIdMissing: denied('somebody holds a lease on it', 'Release it: `az storage blob lease break`.'),
  BlobImmutableDueToPolicy: locked,
  BlobImmutableDueToLegalHold: denied(
    'it is under a legal hold',
    'Have the hold lifted: `az storage blob set-legal-hold`.',
  ),
  BlobArchived: ({ what, init }) =>
    new KeyframeError('UNAVAILABLE', `${what} is archived`, {
      ...init,
      hint: 'Use `--thaw`, which asks for it and waits.',
      details: { ...init.details, archived: true },
    }),
  AuthorizationPermissionMismatch: denied('the identity or SAS lacks the right', RIGHTS),
  AuthorizationFailure: denied('not allowed', 'Check `accountKey`, and the firewall of the account.'),
  AuthorizationSourceIPMismatch: denied('the SAS is for other addresses', 'Set `sas` to one for this host.'),
  AuthorizationProtocolMismatch: denied('the SAS is for https only', 'Write https:// in `endpoint`.'),
  AuthorizationServiceMismatch: denied('the SAS is for another service', 'Set `sas` to one for blobs.'),
  AuthorizationResourceTypeMismatch: denied(
    'the SAS is not for objects and containers',
    'Set `sas` to one for the container (`sr=c`).',
  ),
  InsufficientAccountPermissions: denied('the identity lacks the right', RIGHTS),
  KeyBasedAuthenticationNotPermitted: denied(
    'the account takes no keys',
    'Leave `accountKey` and `connectionString` out and set `auth`.',
  ),
  AccountIsDisabled: denied('the account is disabled', 'Set `account` to another one.'),
  NoAuthenticationInformation: denied('nobody may read it without credentials', 'Set `accountKey`, `sas` or `auth`.'),
  PublicAccessNotPermitted: denied('nobody may read it without credentials', 'Set `accountKey`, `sas` or `auth`.'),
  AuthenticationFailed: notAuthenticated,
  InvalidAuthenticationInfo: notAuthenticated,
};

/** The fault that an answer stands for. Conditions that were not met are the caller's to name. */
export function faultOf(response: HttpResponse, text: string, about: About, now: Date): KeyframeError {
  const { status, headers } = response;
  const code = String(headers['x-ms-error-code'] ?? textIn(text, 'Code') ?? '');
  const [line = ''] = (textIn(text, 'Message') ?? code).split('\n');
  const detail = textIn(text, 'AuthenticationErrorDetail');
  const message = [line, ...(detail === undefined ? [] : [detail])].join(' ').trim() || `status ${status}`;
  const what = about.key === undefined ? `the container ${about.container}` : `object '${about.key}'`;
  const init = { cause: new Error(`${status} ${code}: ${message}`), details: { ...about, status, azure: code } };
  const answer: Answer = { status, headers, code, message, what, about, init };
  return (KNOWN[code] ?? byStatus)(answer, now);
}

/** Damaged on the line, or a commit whose blocks another writer of the same key took away: the next attempt sends them anew. */
const DAMAGED = new Set([
  'Md5Mismatch',
  'Crc64Mismatch',
  'InvalidBlockList',
  'InvalidBlobOrBlock',
  'BlobBeingRehydrated',
]);

function byStatus({ status, headers, code, message, what, init }: Answer, now: Date): KeyframeError {
  if (status >= 500 || status === 429 || status === 408 || DAMAGED.has(code)) {
    const details = { ...init.details, ...phaseDetails(status), ...throttleDetails(status, headers, now) };
    return new KeyframeError('UNAVAILABLE', `${what}: ${message}`, { ...init, details });
  }
  if (status === 404) return new KeyframeError('NOT_FOUND', `${what} does not exist`, init);
  if (status === 412) return new KeyframeError('CONFLICT', `${what} is not as expected`, init);
  if (status === 401 || status === 403)
    return new KeyframeError('ACCESS_DENIED', `${what}: ${message}`, { ...init, hint: RIGHTS });
  if (status === 409) return new KeyframeError('CONFLICT', `${what}: ${message}`, init);
  const hint = 'Check the options of the store against the message.';
  return new KeyframeError('INVALID_OPTION', `${what}: ${message}`, { ...init, hint });
}

/** Wrong key, expired SAS and a wrong clock are one code; only the message and the server's date tell which. */
function notAuthenticated({ what, headers, message, init }: Answer, now: Date): KeyframeError {
  const fault = (text: string, hint: string): KeyframeError =>
    new KeyframeError('ACCESS_DENIED', `${what}: ${text}`, { ...init, hint });
  const skew = clockSkewMs(headers, now);
  if (skew !== undefined)
    return fault(
      `the clock of this host is ${Math.round(skew / 1000)} s off`,
      'Set the clock of this host: `timedatectl set-ntp true`.',
    );
  if (/time frame|expiry|expired|lifetime/i.test(message))
    return fault(`the SAS or token is not valid now: ${message}`, 'Set `sas` to one that has not ended.');
  return fault(
    `the credentials are not accepted: ${message}`,
    'Check `accountKey`, `sas` or `connectionString`: the key may have been rotated.',
  );
}
