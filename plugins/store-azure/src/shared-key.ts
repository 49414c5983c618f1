/** Requests signed with the key of the account. @packageDocumentation */
import { createHmac } from 'node:crypto';

/** What a signature covers. */
export interface Signable {
  readonly method: string;
  readonly url: URL;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Headers that are signed by their place; all others of ours begin with `x-ms-`. */
const PLACED = [
  'content-encoding',
  'content-language',
  'content-length',
  'content-md5',
  'content-type',
  'date',
  'if-modified-since',
  'if-match',
  'if-none-match',
  'if-unmodified-since',
  'range',
];

/** The `authorization` header. @see https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key */
export function sharedKey(account: string, key: string, request: Signable): string {
  const signature = createHmac('sha256', Buffer.from(key, 'base64')).update(textOf(account, request)).digest('base64');
  return `SharedKey ${account}:${signature}`;
}

function textOf(account: string, { method, url, headers }: Signable): string {
  const placed = PLACED.map((name) =>
    name === 'content-length' && headers[name] === '0' ? '' : (headers[name] ?? ''),
  );
  const own = Object.entries(headers)
    .filter(([name]) => name.startsWith('x-ms-'))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}:${value.trim()}`);
  const query = [...url.searchParams]
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}:${value}`);
  return [method, ...placed, ...own, [`/${account}${url.pathname}`, ...query].join('\n')].join('\n');
}
