import { readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { checkServerIdentity, type ConnectionOptions, getCACertificates, type SecureVersion } from 'node:tls';
import { KeyframeError } from '@keyframe/contracts';
import type { SslFile, SslSettings } from '../connection/target.ts';

/** Name by which PostgreSQL 17 and later tell its protocol from others on the same port. */
export const ALPN = 'postgresql';

/**
 * Options for `tls.connect` to `host`, with the files they name read.
 * @throws {KeyframeError} INVALID_OPTION when a needed file is missing or a key can be read by others.
 */
export async function tlsOptions(ssl: SslSettings, host: string): Promise<ConnectionOptions> {
  const roots = await readRoots(ssl);
  const identity = await readIdentity(ssl);
  return {
    ...identity,
    ...(roots === undefined ? {} : { ca: roots }),
    // Like libpq: who has a root certificate file wants the chain checked, whatever the mode.
    rejectUnauthorized: roots !== undefined,
    checkServerIdentity: (_name, certificate) =>
      ssl.mode === 'verify-full' ? checkServerIdentity(host, certificate) : undefined,
    ...(ssl.sni && isIP(host) === 0 ? { servername: host } : {}),
    ...(ssl.minimumVersion === undefined ? {} : { minVersion: secureVersion(ssl.minimumVersion) }),
    ...(ssl.maximumVersion === undefined ? {} : { maxVersion: secureVersion(ssl.maximumVersion) }),
    ALPNProtocols: [ALPN],
  };
}

function secureVersion(text: string): SecureVersion {
  const known: readonly SecureVersion[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];
  return known.find((version) => version === text) ?? 'TLSv1.2';
}

async function readRoots({ rootCertificate, mode }: SslSettings): Promise<Buffer | string[] | undefined> {
  if (rootCertificate === 'system') return getCACertificates('system');
  const roots = await readIfThere(rootCertificate);
  if (roots !== undefined || !mode.startsWith('verify')) return roots;
  throw new KeyframeError(
    'INVALID_OPTION',
    `sslmode=${mode} needs a root certificate, ${rootCertificate.path} is absent`,
    {
      hint: 'Set sslrootcert to the certificate of your authority, or to `system` for the ones this machine trusts.',
    },
  );
}

async function readIdentity({ certificate, key, keyPassword }: SslSettings): Promise<ConnectionOptions> {
  const cert = await readIfThere(certificate);
  if (cert === undefined) return {};
  const found = await stat(key.path).catch((cause: unknown) => {
    throw unreadable('sslkey', key.path, cause);
  });
  // As libpq: a key of root may be shared with a group, any other is its owner's alone.
  const forbidden = found.uid === 0 ? 0o027 : 0o077;
  if ((found.mode & forbidden) !== 0)
    throw new KeyframeError('INVALID_OPTION', `private key ${key.path} can be read by others`, {
      hint: `Run chmod 0600 ${key.path}.`,
    });
  return {
    cert,
    key: await readFile(key.path),
    ...(keyPassword === undefined ? {} : { passphrase: keyPassword.reveal() }),
  };
}

async function readIfThere({ path, named }: SslFile): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (!named && (code === 'ENOENT' || code === 'ENOTDIR')) return undefined;
    throw unreadable('certificate file', path, error);
  }
}

function unreadable(what: string, path: string, cause: unknown): KeyframeError {
  return new KeyframeError('INVALID_OPTION', `${what} ${path} cannot be read`, {
    cause,
    hint: 'Correct sslrootcert, sslcert and sslkey in the source url, or make the file readable.',
  });
}
