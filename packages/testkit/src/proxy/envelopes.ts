/** How each provider words its refusals. @packageDocumentation */
import type { OwnAnswer } from './faults.ts';

/** Whose words an answer is in. */
export type Dialect = 's3' | 'gcs' | 'azure' | 'aws-json' | 'plain';

const s3Error = (status: number, code: string, message: string): OwnAnswer => ({
  status,
  headers: { 'content-type': 'application/xml', 'x-amz-request-id': 'FAULTPROXY' },
  body: `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message><RequestId>FAULTPROXY</RequestId></Error>`,
});

const gcsError = (status: number, domain: string, reason: string, message: string): OwnAnswer => ({
  status,
  headers: { 'content-type': 'application/json; charset=UTF-8' },
  body: JSON.stringify({ error: { code: status, message, errors: [{ message, domain, reason }] } }),
});

const azureError = (status: number, code: string, message: string): OwnAnswer => ({
  status,
  headers: { 'content-type': 'application/xml', 'x-ms-error-code': code, 'x-ms-request-id': 'fault-proxy' },
  body: `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`,
});

const awsJsonError = (status: number, type: string, message: string): OwnAnswer => ({
  status,
  headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-errortype': type },
  body: JSON.stringify({ __type: type, message }),
});

const plain = (status: number, message: string): OwnAnswer => ({
  status,
  headers: { 'content-type': 'text/plain' },
  body: message,
});

const THROTTLED: Readonly<Record<Dialect, OwnAnswer>> = {
  s3: s3Error(503, 'SlowDown', 'Please reduce your request rate.'),
  gcs: gcsError(429, 'usageLimits', 'rateLimitExceeded', 'The request rate is too high.'),
  azure: azureError(503, 'ServerBusy', 'The server is busy.'),
  'aws-json': awsJsonError(400, 'ThrottlingException', 'Rate exceeded'),
  plain: plain(429, 'too many requests'),
};

const EXPIRED: Readonly<Record<Dialect, OwnAnswer>> = {
  s3: s3Error(400, 'ExpiredToken', 'The provided token has expired.'),
  gcs: gcsError(401, 'global', 'authError', 'Invalid Credentials'),
  azure: azureError(403, 'AuthenticationFailed', 'Signed expiry time has to be after signed start time'),
  'aws-json': awsJsonError(400, 'ExpiredTokenException', 'The security token included in the request is expired'),
  plain: plain(401, 'expired'),
};

/** "Slow down." */
export function throttledAnswer(dialect: Dialect, retryAfterSeconds: number | undefined): OwnAnswer {
  const answer = THROTTLED[dialect];
  if (retryAfterSeconds === undefined) return answer;
  return { ...answer, headers: { ...answer.headers, 'retry-after': String(retryAfterSeconds) } };
}

/** "Your credentials have run out." */
export function expiredAnswer(dialect: Dialect): OwnAnswer {
  return EXPIRED[dialect];
}
