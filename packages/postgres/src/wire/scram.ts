/**
 * SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, client side.
 * @see https://www.rfc-editor.org/rfc/rfc5802
 * @see https://www.rfc-editor.org/rfc/rfc7677
 * @packageDocumentation
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { KeyframeError } from '@keyframe/contracts';
import { saslprep } from './saslprep.ts';

const derive = promisify(pbkdf2);
/** PostgreSQL's default is 4096; this bounds what a hostile server can make us compute to some seconds. */
const MOST_ITERATIONS = 10_000_000;

/** How this connection is tied to its TLS channel. */
export type ChannelBinding =
  /** Hash of the server's certificate, sent with SCRAM-SHA-256-PLUS. */
  | { readonly kind: 'bound'; readonly data: Buffer }
  /** We could, but the server did not offer it; it detects a man in the middle who cut the offer out. */
  | { readonly kind: 'not-offered' }
  | { readonly kind: 'none' };

/** What an exchange starts from. */
export interface ScramOptions {
  readonly password: string;
  readonly binding: ChannelBinding;
  /** PostgreSQL takes the user from the startup message and ignores this one, so it is empty. */
  readonly user?: string;
  /** For tests alone. */
  readonly nonce?: string;
}

/** One exchange: `first`, then `respond` to the server's first message, then `verify` its last. */
export interface ScramExchange {
  readonly first: string;
  respond(serverFirst: string): Promise<string>;
  /** @throws {KeyframeError} SERVER_REFUSED when the server cannot prove that it knows the password. */
  verify(serverFinal: string): void;
}

const hmac = (key: Uint8Array, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const header = (binding: ChannelBinding): string =>
  ({ bound: 'p=tls-server-end-point,,', 'not-offered': 'y,,', none: 'n,,' })[binding.kind];

/** Starts an exchange. */
export function startScram({ password, binding, user = '', nonce }: ScramOptions): ScramExchange {
  const own = nonce ?? randomBytes(18).toString('base64');
  const firstBare = `n=${user},r=${own}`;
  let expected: Buffer | undefined;
  return {
    first: header(binding) + firstBare,

    async respond(serverFirst) {
      const { nonce: joined, salt, iterations } = readServerFirst(serverFirst);
      if (!joined.startsWith(own) || joined === own) throw broken('its nonce does not continue ours');
      const channel = Buffer.concat([Buffer.from(header(binding)), 'data' in binding ? binding.data : Buffer.of()]);
      const withoutProof = `c=${channel.toString('base64')},r=${joined}`;
      const salted = await derive(saslprep(password), salt, iterations, 32, 'sha256');
      const authMessage = `${firstBare},${serverFirst},${withoutProof}`;
      const clientKey = hmac(salted, 'Client Key');
      const signature = hmac(createHash('sha256').update(clientKey).digest(), authMessage);
      expected = hmac(hmac(salted, 'Server Key'), authMessage);
      const proof = clientKey.map((byte, index) => byte ^ (signature[index] ?? 0));
      return `${withoutProof},p=${Buffer.from(proof).toString('base64')}`;
    },

    verify(serverFinal) {
      const given = /^v=([A-Za-z0-9+/=]+)(?:,|$)/.exec(serverFinal)?.[1];
      if (given === undefined) throw broken(serverFinal.replace(/^e=/, ''));
      const signature = Buffer.from(given, 'base64');
      if (expected === undefined || signature.length !== expected.length || !timingSafeEqual(signature, expected))
        throw broken('it does not know the password itself');
    },
  };
}

function readServerFirst(text: string): { nonce: string; salt: Buffer; iterations: number } {
  const match = /^r=([^,]+),s=([A-Za-z0-9+/=]+),i=([1-9]\d*)(?:,|$)/.exec(text);
  const [, nonce = '', salt = '', count = ''] = match ?? [];
  const iterations = Number(count);
  if (match === null || iterations > MOST_ITERATIONS) throw broken('its first message is malformed');
  return { nonce, salt: Buffer.from(salt, 'base64'), iterations };
}

function broken(reason: string): KeyframeError {
  return new KeyframeError('SERVER_REFUSED', `the server failed the SCRAM exchange: ${reason}`, {
    hint: 'Check that host and port of the source url are your server; a man in the middle looks like this.',
  });
}
