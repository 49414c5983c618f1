/** Which account, where, and how it is opened. @packageDocumentation */
import { KeyframeError, Secret } from '@keyframe/contracts';
import type { AzureOptions } from './options.ts';

/** What opens the account without a token. */
export interface Account {
  readonly name: string;
  /** Address of the account, without `/` at its end. */
  readonly endpoint: string;
  readonly key?: Secret | undefined;
  readonly sas?: Secret | undefined;
}

type Named = Pick<AzureOptions, 'account' | 'endpoint' | 'connectionString' | 'accountKey' | 'sas'>;

/** @throws {KeyframeError} INVALID_OPTION when a connection string lacks what is needed */
export function accountOf({ account, endpoint, connectionString, accountKey, sas }: Named): Account {
  const said = connectionString === undefined ? {} : parsed(connectionString.reveal());
  const name = account ?? said['accountname'] ?? nameIn(said['blobendpoint']);
  if (name === undefined) throw unnamed();
  const { accountkey, sharedaccesssignature } = said;
  const protocol = said['defaultendpointsprotocol'] ?? 'https';
  const suffix = said['endpointsuffix'] ?? 'core.windows.net';
  return {
    name,
    endpoint: (endpoint ?? said['blobendpoint'] ?? `${protocol}://${name}.blob.${suffix}`).replace(/\/+$/, ''),
    key: accountKey ?? (accountkey === undefined ? undefined : new Secret(accountkey)),
    sas: withoutMark(sas ?? (sharedaccesssignature === undefined ? undefined : new Secret(sharedaccesssignature))),
  };
}

/** `AccountName=…;AccountKey=…`; a key is base64 and may end in `=`. */
function parsed(text: string): Readonly<Record<string, string>> {
  const parts = text.split(';').filter((part) => part.trim() !== '');
  return Object.fromEntries(
    parts.map((part) => {
      const at = part.indexOf('=');
      return [part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim()];
    }),
  );
}

function nameIn(address: string | undefined): string | undefined {
  if (address === undefined || !URL.canParse(address)) return undefined;
  return new URL(address).hostname.split('.')[0];
}

function withoutMark(sas: Secret | undefined): Secret | undefined {
  return sas?.reveal().startsWith('?') === true ? new Secret(sas.reveal().slice(1)) : sas;
}

function unnamed(): KeyframeError {
  return new KeyframeError('INVALID_OPTION', 'the connection string names no account', {
    hint: 'Set `connectionString` to what `az storage account show-connection-string` prints, or set `account`.',
  });
}
