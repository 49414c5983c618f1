/** What went wrong between us and a server, in words and codes. @packageDocumentation */
import type { IncomingHttpHeaders } from 'node:http';
import { hasCode, KeyframeError } from '@keyframe/contracts';

/** How far a request had come. After `connect` the server may have done what was asked. */
export type Phase = 'connect' | 'request' | 'body';

const HINTS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'Correct `endpoint`, or the name resolution of this host.',
  EAI_AGAIN: 'Check the name resolution of this host.',
  ECONNREFUSED: 'Start the server, or correct `endpoint`.',
  EPROTO: 'Write http:// or https:// in `endpoint`, whichever the server speaks.',
  CERT_HAS_EXPIRED: 'Renew the certificate of the server, or set the clock of this host.',
  ERR_TLS_CERT_ALTNAME_INVALID: 'Correct `endpoint`: the certificate of the server is for another name.',
};
const UNTRUSTED = 'Set `certificateAuthority` to the certificate of the authority that the server uses.';
const OTHERWISE = 'Check the network, `proxy` and `endpoint`.';

/** A connection that could not be made, broke or stood still. */
export function lost(url: URL, phase: Phase, cause: unknown, waitedMs?: number): KeyframeError {
  if (hasCode(cause, 'UNAVAILABLE')) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
  const said = waitedMs === undefined ? (code ?? (cause instanceof Error ? cause.message : String(cause))) : undefined;
  const what = phase === 'connect' ? 'no connection to' : 'the connection broke with';
  const text = said === undefined ? `${url.host}: nothing for ${waitedMs} ms` : `${what} ${url.host}: ${said}`;
  const untrusted = code !== undefined && /SELF_SIGNED|UNABLE_TO_(VERIFY|GET)/.test(code);
  const hint = untrusted ? UNTRUSTED : (HINTS[code ?? ''] ?? OTHERWISE);
  return new KeyframeError('UNAVAILABLE', text, { cause, hint, details: { phase } });
}

/** True when the server may have done what was asked, although it gave no answer. */
export function isUnsettled(error: unknown): boolean {
  return hasCode(error, 'UNAVAILABLE') && ['request', 'body'].includes(String(error.details['phase']));
}

/** The detail `phase` of an answer that leaves open whether it was done: a gateway that lost its server, a fault inside. */
export function phaseDetails(status: number): { readonly phase?: Phase } {
  return status >= 500 && status !== 503 ? { phase: 'request' } : {};
}

/** `throttled` and `retryAfterMs` of an answer that asks to slow down; empty for every other. */
export function throttleDetails(
  status: number,
  headers: IncomingHttpHeaders,
  now: Date,
): { readonly throttled?: true; readonly retryAfterMs?: number } {
  if (status !== 429 && status !== 503) return {};
  const exact = Number(headers['x-ms-retry-after-ms'] ?? Number.NaN);
  const after = headers['retry-after'];
  const seconds = Number(after ?? Number.NaN);
  const waits = [exact, seconds * 1_000, Date.parse(after ?? '') - now.getTime()];
  const retryAfterMs = waits.find((ms) => Number.isFinite(ms) && ms >= 0);
  return retryAfterMs === undefined ? { throttled: true } : { throttled: true, retryAfterMs };
}

/** How far this host's clock is from the server's, milliseconds, when it matters: over four minutes. */
export function clockSkewMs(headers: IncomingHttpHeaders, now: Date): number | undefined {
  const skew = now.getTime() - Date.parse(headers.date ?? '');
  return Math.abs(skew) > 240_000 ? skew : undefined;
}
