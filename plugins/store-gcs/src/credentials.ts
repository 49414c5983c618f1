/** Tokens for requests, by Google's own library, which is loaded when the first one is needed. @packageDocumentation */
import { readFile } from 'node:fs/promises';
import { KeyframeError } from '@keyframe/contracts';
import type * as Google from 'google-auth-library';
import type { GcsOptions } from './options.ts';

const SCOPE = 'https://www.googleapis.com/auth/devstorage.full_control';
const WHOLE_CLOUD = 'https://www.googleapis.com/auth/cloud-platform';

/** The `authorization` header for a request, or none. */
export type Authorize = (url: URL) => Promise<Readonly<Record<string, string>>>;

type Source = Pick<GcsOptions, 'auth' | 'keyFile' | 'credentials' | 'impersonate'>;

type AuthClient = Google.AuthClient;

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
  const google = await import('google-auth-library');
  const scopes = [impersonate === undefined ? SCOPE : WHOLE_CLOUD];
  const text = keyFile === undefined ? credentials?.reveal() : await readKeyFile(keyFile);
  const client =
    text === undefined ? await new google.GoogleAuth({ scopes }).getClient() : clientOf(google, parsed(text), scopes);
  // A key signs tokens itself: no request to Google's token service before the first one to the bucket.
  if (client instanceof google.JWT) client.useJWTAccessWithScope = true;
  if (impersonate === undefined) return client;
  return impersonated(google, client, impersonate);
}

async function readKeyFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new KeyframeError('ACCESS_DENIED', `the credentials file ${path} cannot be read`, {
      cause: error,
      hint: 'Correct `keyFile`, or make the file readable for the user that runs Keyframe.',
    });
  }
}

function impersonated({ Impersonated }: typeof Google, sourceClient: AuthClient, targetPrincipal: string): TokenClient {
  return new Impersonated({ sourceClient, targetPrincipal, targetScopes: [SCOPE], lifetime: 3600 });
}

/** Each kind of credentials by its own constructor: the library warns of a text whose kind nobody looked at. */
function clientOf(google: typeof Google, json: CredentialsFile, scopes: string[]): AuthClient {
  switch (json.type ?? '') {
    case 'service_account': {
      const client = new google.JWT({ scopes });
      client.fromJSON(json);
      return client;
    }
    case 'authorized_user': {
      const client = new google.UserRefreshClient();
      client.fromJSON(json);
      return client;
    }
    case 'external_account': {
      const client = google.ExternalAccountClient.fromJSON(json as Google.ExternalAccountClientOptions);
      if (client === null) break;
      client.scopes = scopes;
      return client;
    }
    case 'external_account_authorized_user':
      return new google.ExternalAccountAuthorizedUserClient(json as Google.ExternalAccountAuthorizedUserClientOptions);
    case 'impersonated_service_account': {
      const { service_account_impersonation_url: url = '', source_credentials: source } = json;
      const principal = /([^/]+):generateAccessToken$/.exec(url)?.[1];
      if (principal === undefined || source === undefined) break;
      const sourceClient = clientOf(google, source, [WHOLE_CLOUD]);
      return new google.Impersonated({
        sourceClient,
        targetPrincipal: principal,
        targetScopes: scopes,
        lifetime: 3600,
      });
    }
  }
  throw new KeyframeError('INVALID_OPTION', `credentials of the kind ${JSON.stringify(json.type)} are not known`, {
    hint: 'Set `credentials` or `keyFile` to a key of a service account, an external account or an authorized user.',
  });
}

interface CredentialsFile extends Google.JWTInput {
  readonly service_account_impersonation_url?: string;
  readonly source_credentials?: CredentialsFile;
}

function parsed(text: string): CredentialsFile {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    // The parser's message quotes the text.
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new KeyframeError('INVALID_OPTION', 'the credentials are no JSON', {
    hint: 'Set `keyFile` to the credentials file, or `credentials` to its whole text: ${file:/path/key.json}.',
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
