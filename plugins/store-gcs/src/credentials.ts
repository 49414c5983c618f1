/** Tokens for requests, by Google's own library, which is loaded when the first one is needed. @packageDocumentation */
import { KeyframeError } from '@keyframe/contracts';
import type { GcsOptions } from './options.ts';

const SCOPE = 'https://www.googleapis.com/auth/devstorage.full_control';
const WHOLE_CLOUD = 'https://www.googleapis.com/auth/cloud-platform';

/** The `authorization` header for a request, or none. */
export type Authorize = (url: URL) => Promise<Readonly<Record<string, string>>>;

type Source = Pick<GcsOptions, 'auth' | 'keyFile' | 'credentials' | 'impersonate'>;

interface TokenClient {
  getRequestHeaders(url?: string | URL): Promise<Headers>;
}

/** Makes one client per store; it keeps tokens until shortly before they end. */
export function authorizer(source: Source): Authorize {
  if (source.auth === 'anonymous') return async () => ({});
  let client: Promise<TokenClient> | undefined;
  return async (url) => {
    client ??= tokenClient(source);
    try {
      const headers = await (await client).getRequestHeaders(url);
      return Object.fromEntries(headers.entries());
    } catch (error) {
      client = undefined; // the file may be corrected by then
      throw refused(error);
    }
  };
}

async function tokenClient({ keyFile, credentials, impersonate }: Source): Promise<TokenClient> {
  const { GoogleAuth, Impersonated, JWT } = await import('google-auth-library');
  const auth = new GoogleAuth({
    scopes: [impersonate === undefined ? SCOPE : WHOLE_CLOUD],
    ...(keyFile === undefined ? {} : { keyFilename: keyFile }),
    ...(credentials === undefined ? {} : { credentials: parsed(credentials.reveal()) }),
  });
  const client = await auth.getClient();
  // A key signs tokens itself: no request to Google's token service before the first one to the bucket.
  if (client instanceof JWT) client.useJWTAccessWithScope = true;
  if (impersonate === undefined) return client;
  return new Impersonated({
    sourceClient: client,
    targetPrincipal: impersonate,
    targetScopes: [SCOPE],
    lifetime: 3600,
  });
}

function parsed(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    // The parser's message quotes the text.
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new KeyframeError('INVALID_OPTION', 'credentials is no JSON', {
    hint: 'Set `credentials` to the whole text of the credentials file: ${file:/path/key.json}.',
  });
}

const NETWORK =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|socket hang up|network|fetch failed/i;

/** What the library said, without what it was given. */
function refused(error: unknown): unknown {
  if (error instanceof KeyframeError || !(error instanceof Error)) return error;
  const status = Number(Reflect.get(error, 'status') ?? 0);
  const text = `${'code' in error ? String(error.code) : ''} ${error.message}`.trim();
  if (status >= 500 || status === 429 || NETWORK.test(text))
    return new KeyframeError('UNAVAILABLE', `no token: ${error.message}`, {
      cause: error,
      hint: 'Check the way from this host to oauth2.googleapis.com, sts.googleapis.com and the metadata server.',
    });
  if (/could not load the default credentials/i.test(text))
    return new KeyframeError('ACCESS_DENIED', 'this host has no credentials for Google Cloud', {
      cause: error,
      hint: 'Set `keyFile`, or run `gcloud auth application-default login`, or attach a service account.',
    });
  if (/iat|exp|short-lived|token used too (early|late)/i.test(text) && /invalid_grant|jwt/i.test(text))
    return new KeyframeError('ACCESS_DENIED', `no token: ${error.message}`, {
      cause: error,
      hint: 'Set the clock of this host: `timedatectl set-ntp true`.',
    });
  return new KeyframeError('ACCESS_DENIED', `no token: ${error.message}`, {
    cause: error,
    hint: 'Check `keyFile`, `credentials` and `impersonate`: the key may be deleted, or the role Token Creator missing.',
  });
}
