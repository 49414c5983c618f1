import { type Host, KeyframeError, Secret } from '@keyframe/contracts';
import type { VaultOptions } from './vault.ts';

const TIMEOUT_MS = 10_000;
/** A token this near to its end is not used any more. */
const MARGIN_MS = 30_000;
const FORBIDDEN = 403;

interface Answer {
  readonly status: number;
  readonly body: unknown;
  /** What `errors` of the body says, in one line. */
  readonly said: string;
}

/** Requests with a token, which is had by logging in where there is none, and again when it has ended. */
export function createSession(
  { address, namespace, login }: VaultOptions,
  keyId: string,
  { fetch, now }: Pick<Host, 'fetch' | 'now'>,
): { post(path: string, body: object, signal: AbortSignal | undefined): Promise<unknown> } {
  let current: { readonly token: Secret; readonly until: number } | undefined;

  const send = async (path: string, body: object, token: Secret | undefined, signal: AbortSignal | undefined) => {
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    try {
      const response = await fetch(`${address}/v1/${path}`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'x-vault-request': 'true',
          ...(token && { 'x-vault-token': token.reveal() }),
          ...(namespace !== undefined && { 'x-vault-namespace': namespace }),
        },
        body: JSON.stringify(body),
        redirect: 'follow',
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      });
      return answerOf(response.status, await response.text());
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      throw unreachable(keyId, address, error);
    }
  };

  const tokenFor = async (signal: AbortSignal | undefined): Promise<Secret> => {
    if ('token' in login) return login.token;
    if (current !== undefined && current.until > now().getTime()) return current.token;
    const body = Object.fromEntries(
      Object.entries(login.body).map(([name, value]) => [name, typeof value === 'string' ? value : value.reveal()]),
    );
    const answer = await send(`auth/${login.mount}/login`, body, undefined, signal);
    if (answer.status !== 200) throw refused(keyId, `log in by auth/${login.mount}`, answer);
    const auth = fieldOf(answer.body, 'auth');
    const [token, seconds] = [fieldOf(auth, 'client_token'), fieldOf(auth, 'lease_duration')];
    if (typeof token !== 'string') throw refused(keyId, `log in by auth/${login.mount}`, answer);
    // A lease of 0 never ends.
    const lasts = typeof seconds === 'number' && seconds > 0 ? seconds * 1000 - MARGIN_MS : Number.POSITIVE_INFINITY;
    current = { token: new Secret(token), until: now().getTime() + lasts };
    return current.token;
  };

  return {
    post: async (path, body, signal) => {
      const isFresh = current === undefined;
      let answer = await send(path, body, await tokenFor(signal), signal);
      if (answer.status === FORBIDDEN && !('token' in login) && !isFresh) {
        current = undefined; // revoked, perhaps
        answer = await send(path, body, await tokenFor(signal), signal);
      }
      if (answer.status === 200) return answer.body;
      throw refused(keyId, path, answer);
    },
  };
}

function answerOf(status: number, text: string): Answer {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const errors = fieldOf(body, 'errors');
  const said = Array.isArray(errors) ? errors.join('; ').replaceAll(/\s+/g, ' ').trim() : '';
  return { status, body, said: said === '' ? `status ${status}` : said };
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function unreachable(keyId: string, address: string, cause: unknown): KeyframeError {
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : String(cause);
  return new KeyframeError('UNAVAILABLE', `Vault at ${address} cannot be reached: ${inner}`, {
    cause,
    hint: 'Check the network, and NODE_EXTRA_CA_CERTS for a private authority; a host with `indexKey` archives WAL and takes backups meanwhile.',
    details: { keyId },
  });
}

function refused(keyId: string, action: string, { status, said }: Answer): KeyframeError {
  const init = { details: { keyId, action, status } };
  const denied = (text: string, hint: string): KeyframeError =>
    new KeyframeError('ACCESS_DENIED', text, { ...init, hint });
  if (status === 503 || status === 429 || status >= 500)
    return new KeyframeError('UNAVAILABLE', `Vault does not ${action} now: ${said}`, {
      ...init,
      hint: 'Unseal Vault or wait (`vault status`); a host with `indexKey` archives WAL and takes backups meanwhile.',
    });
  if (status === FORBIDDEN || status === 401)
    return denied(
      `Vault refuses ${action}: ${said}`,
      'Give the token or role `update` on encrypt/ and decrypt/ of the key in a policy: `vault token capabilities`.',
    );
  if (/key not found|no handler for route|unsupported path/i.test(said) || status === 404)
    return denied(
      `there is no key ${keyId}: ${said}`,
      'Correct `key`, `mount` or `namespace` in `repositories.<name>.encrypt`.',
    );
  if (/disallowed by policy|too old/i.test(said))
    return denied(
      `the version of ${keyId} that wrapped this is disabled: ${said}`,
      'Lower `min_decryption_version` of the key, open with another key, then run `keyframe key rotate`.',
    );
  if (action.startsWith('auth/') || action.startsWith('log in'))
    return denied(
      `Vault refuses to ${action}: ${said}`,
      'Correct `appRole` or `kubernetes` in `repositories.<name>.encrypt`.',
    );
  return denied(
    `Vault does not open this with ${keyId}: ${said}`,
    'Compare `address`, `mount` and `key` with those of the host that made the slot: `keyframe key list`.',
  );
}
