/** Tokens of Microsoft Entra, by Microsoft's own library, which is loaded when the first one is needed. @packageDocumentation */
import { KeyframeError } from '@keyframe/contracts';
import type * as Identity from '@azure/identity';
import { untilAborted } from '@keyframe/http';
import type { AzureOptions } from './options.ts';

/** A token is renewed so long before its end. */
const MARGIN_MS = 5 * 60_000;

interface Token {
  readonly token: string;
  readonly expiresOnTimestamp: number;
}

interface Credential {
  getToken(scope: string, options: { abortSignal?: AbortSignal }): Promise<Token | null>;
}

/** Gives the token for the next request. */
export type Tokens = (signal: AbortSignal | undefined) => Promise<string>;

/** Keeps one token; those who wait for a new one wait for the same. */
export function tokensOf(options: AzureOptions, now: () => Date, scope: string): Tokens {
  let credential: Promise<Credential> | undefined;
  let current: Token | undefined;
  let asking: Promise<Token> | undefined;
  const ask = async (): Promise<Token> => {
    try {
      credential ??= import('@azure/identity').then((identity) => CREDENTIALS[options.auth](identity, options));
      const token = await (await credential).getToken(scope, {});
      if (token === null) throw new Error('no token was given');
      return token;
    } catch (error) {
      credential = undefined; // the file may be corrected by then
      throw refused(error);
    }
  };
  return async (signal) => {
    if (current !== undefined && current.expiresOnTimestamp - MARGIN_MS > now().getTime()) return current.token;
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    current = await untilAborted(asking, signal);
    return current.token;
  };
}

type Make = (identity: typeof Identity, options: AzureOptions) => Credential;

/** Fields that are there. */
const given = (fields: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));

const chain: Make = (identity, { tenantId, clientId }) =>
  new identity.DefaultAzureCredential(
    given({ tenantId, managedIdentityClientId: clientId, workloadIdentityClientId: clientId }),
  );

const CREDENTIALS: Readonly<Record<AzureOptions['auth'], Make>> = {
  default: chain,
  anonymous: chain,
  environment: (identity) => new identity.EnvironmentCredential(),
  'managed-identity': (identity, { clientId }) => new identity.ManagedIdentityCredential(given({ clientId })),
  'workload-identity': (identity, { tenantId, clientId, tokenFile }) =>
    new identity.WorkloadIdentityCredential(given({ tenantId, clientId, tokenFilePath: tokenFile })),
  'client-secret': (identity, { tenantId = '', clientId = '', clientSecret }) =>
    new identity.ClientSecretCredential(tenantId, clientId, clientSecret?.reveal() ?? ''),
  'client-certificate': (identity, { tenantId = '', clientId = '', clientCertificateFile = '' }) =>
    new identity.ClientCertificateCredential(tenantId, clientId, clientCertificateFile),
  cli: (identity, { tenantId }) => new identity.AzureCliCredential(given({ tenantId })),
};

const NETWORK = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|network_error|socket hang up/i;

/** What the library said, in our codes. */
function refused(error: unknown): unknown {
  if (error instanceof KeyframeError || !(error instanceof Error)) return error;
  const status = Number(Reflect.get(error, 'statusCode') ?? 0);
  const [line = ''] = error.message.split('\n');
  if (status >= 500 || status === 429 || NETWORK.test(error.message))
    return new KeyframeError('UNAVAILABLE', `no token: ${line}`, {
      cause: error,
      hint: 'Check the way from this host to login.microsoftonline.com or to the metadata service (169.254.169.254).',
    });
  if (/AADSTS700024|AADSTS50013|not within its valid time/i.test(error.message))
    return new KeyframeError('ACCESS_DENIED', `no token: ${line}`, {
      cause: error,
      hint: 'Set the clock of this host: `timedatectl set-ntp true`.',
    });
  if (/AADSTS7000222|AADSTS7000215/.test(error.message))
    return new KeyframeError('ACCESS_DENIED', `no token: ${line}`, {
      cause: error,
      hint: 'Set `clientSecret` to a valid one: `az ad app credential reset` makes one.',
    });
  return new KeyframeError('ACCESS_DENIED', `no token: ${line}`, {
    cause: error,
    hint: 'Set `accountKey` or `sas`, or set `auth` to what this host has: `az account get-access-token` shows it.',
  });
}
