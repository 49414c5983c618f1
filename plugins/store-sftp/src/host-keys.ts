/** Which host keys a server may show: fingerprints, public keys, or the lines of a known_hosts file. @packageDocumentation */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** One key that the server may show. */
interface Pin {
  /** Empty where only a fingerprint is known. */
  readonly type: string;
  readonly fingerprint: string;
  /** Never to be accepted, whatever else says so. */
  readonly revoked: boolean;
}

/** What is known of a server's keys. */
export interface HostPins {
  /** Key types that are known, so that the server is asked for one of those; empty: any. */
  readonly types: readonly string[];
  /** For messages. */
  readonly fingerprints: readonly string[];
  accepts(fingerprint: string): boolean;
}

const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}=?$/;
const PUBLIC_KEY = /^(?<type>[a-z][a-z0-9@.-]+)\s+(?<blob>[A-Za-z0-9+/]{40,}={0,2})(?:\s.*)?$/;

/** As OpenSSH prints it. */
export function fingerprintOf(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=$/, '')}`;
}

/** A fingerprint or a public key; `undefined` for any other text. */
export function parseHostKey(text: string): Pin | undefined {
  const plain = text.trim();
  if (FINGERPRINT.test(plain)) return { type: '', fingerprint: plain.replace(/=$/, ''), revoked: false };
  const { type, blob } = PUBLIC_KEY.exec(plain)?.groups ?? {};
  if (type === undefined || blob === undefined) return undefined;
  return { type, fingerprint: fingerprintOf(Buffer.from(blob, 'base64')), revoked: false };
}

/** The keys of that host in the text of a known_hosts file, see sshd(8). Certificate authorities are passed over. */
function knownHosts(text: string, host: string, port: number): Pin[] {
  const names = port === 22 ? [host] : [`[${host}]:${port}`];
  const pins: Pin[] = [];
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/);
    const marker = words[0]?.startsWith('@') === true ? words.shift() : undefined;
    const [patterns = '', ...key] = words;
    if (patterns === '' || patterns.startsWith('#') || marker === '@cert-authority') continue;
    const pin = parseHostKey(key.join(' '));
    if (pin !== undefined && names.some((name) => matches(patterns, name)))
      pins.push({ ...pin, revoked: marker === '@revoked' });
  }
  return pins;
}

function matches(patterns: string, name: string): boolean {
  if (patterns.startsWith('|1|')) return hashMatches(patterns, name);
  const lower = name.toLowerCase();
  let found = false;
  for (const each of patterns.toLowerCase().split(',')) {
    const negated = each.startsWith('!');
    if (!wildcard(negated ? each.slice(1) : each).test(lower)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

const wildcard = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
  );

function hashMatches(hashed: string, name: string): boolean {
  const [, , salt = '', digest = ''] = hashed.split('|');
  const expected = Buffer.from(digest, 'base64');
  const actual = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest();
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}

/** What of the options holds for that server. */
export function pinsFor(
  { hostKeys, knownHostsText }: { readonly hostKeys: readonly string[]; readonly knownHostsText: string | undefined },
  host: string,
  port: number,
): HostPins {
  const given = hostKeys.map(parseHostKey).filter((pin) => pin !== undefined);
  const pins = [...given, ...(knownHostsText === undefined ? [] : knownHosts(knownHostsText, host, port))];
  const revoked = new Set(pins.filter((pin) => pin.revoked).map((pin) => pin.fingerprint));
  const good = pins.filter(({ fingerprint }) => !revoked.has(fingerprint));
  return {
    types: good.some(({ type }) => type === '') ? [] : [...new Set(good.map(({ type }) => type))],
    fingerprints: [...new Set(good.map(({ fingerprint }) => fingerprint))],
    accepts: (fingerprint) => good.some((pin) => pin.fingerprint === fingerprint),
  };
}
