import { join } from 'node:path';
import { Secret } from '@keyframe/contracts';
import type { Keyword, Parameters } from './keywords.ts';
import type { SslFile, SslSettings } from './target.ts';
import { invalid, readChoice } from './values.ts';

const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
const VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;

/**
 * Reads the parameters about TLS.
 * @throws {KeyframeError} INVALID_OPTION, also for combinations that promise more than they keep.
 * @see https://www.postgresql.org/docs/18/libpq-ssl.html
 */
export function readSsl(parameters: Parameters, home: string): SslSettings {
  const file = (keyword: Keyword, standard: string): SslFile => {
    const path = parameters.get(keyword)?.value;
    return path ? { path, named: true } : { path: join(home, '.postgresql', standard), named: false };
  };
  const system = parameters.get('sslrootcert')?.value === 'system';
  // With the machine's own trust anyone can have a certificate, so only its name means anything.
  const mode = readChoice(parameters, 'sslmode', MODES) ?? (system ? 'verify-full' : 'prefer');
  if (system && mode !== 'verify-full')
    throw invalid('sslmode', `${mode} is too weak for sslrootcert=system`, 'verify-full');
  const negotiation = readChoice(parameters, 'sslnegotiation', ['postgres', 'direct'] as const) ?? 'postgres';
  if (negotiation === 'direct' && ['disable', 'allow', 'prefer'].includes(mode))
    throw invalid('sslmode', `${mode} is too weak for sslnegotiation=direct`, 'require, verify-ca or verify-full');
  const keyPassword = parameters.get('sslpassword')?.value;
  return {
    mode,
    negotiation,
    rootCertificate: system ? 'system' : file('sslrootcert', 'root.crt'),
    certificate: file('sslcert', 'postgresql.crt'),
    key: file('sslkey', 'postgresql.key'),
    keyPassword: keyPassword ? new Secret(keyPassword) : undefined,
    sni: readChoice(parameters, 'sslsni', ['0', '1'] as const) !== '0',
    minimumVersion: readChoice(parameters, 'ssl_min_protocol_version', VERSIONS) ?? 'TLSv1.2',
    maximumVersion: readChoice(parameters, 'ssl_max_protocol_version', VERSIONS),
  };
}
