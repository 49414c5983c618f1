import type { Secret } from '@keyframe/contracts';

/** Environment variables, as `process.env` has them. Libraries are handed them; they never read their own. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** libpq's sslmode: how much a connection insists on TLS, and on knowing the server. */
export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';
/** libpq's target_session_attrs: which of the reachable servers will do. */
export type SessionAttributes = 'any' | 'read-write' | 'read-only' | 'primary' | 'standby' | 'prefer-standby';

/** A file that libpq looks for by default may be absent; one that the user named must be there. */
export interface SslFile {
  readonly path: string;
  readonly named: boolean;
}

/** How a connection is encrypted and whom it trusts. Unix sockets are never encrypted. */
export interface SslSettings {
  readonly mode: SslMode;
  /** `direct` starts with TLS at once, which PostgreSQL 17 and later understand. */
  readonly negotiation: 'postgres' | 'direct';
  /** `system` trusts what the machine trusts. */
  readonly rootCertificate: SslFile | 'system';
  readonly certificate: SslFile;
  readonly key: SslFile;
  readonly keyPassword?: Secret | undefined;
  /** Send the host name in clear so that a proxy can route by it. */
  readonly sni: boolean;
  readonly minimumVersion?: string | undefined;
  readonly maximumVersion?: string | undefined;
}

/** One place to try. */
export interface ServerHost {
  /** Host name, address, or (starting with `/` or `@`) the directory of a unix socket. */
  readonly host: string;
  readonly port: number;
  /** Numeric address to use instead of looking up `host`, which then only names the certificate and password entry. */
  readonly address?: string | undefined;
  /** For ordinary sessions: the given password, else the password file's. */
  readonly password?: Secret | undefined;
  /** For replication: the given password, else the password file's for `replication`, else as `password`. */
  readonly replicationPassword?: Secret | undefined;
}

/** Everything needed to connect, with libpq's defaults filled in. Safe to print. */
export interface ConnectionTarget {
  /** In the order in which they are tried. Never empty. */
  readonly hosts: readonly ServerHost[];
  readonly user: string;
  /** Given in the url or by PGPASSWORD; passwords of the password file stand at their host. */
  readonly password?: Secret | undefined;
  /** The password file that was looked into, whether or not it had an entry. */
  readonly passwordFile?: string | undefined;
  readonly database: string;
  readonly ssl: SslSettings;
  readonly channelBinding: 'disable' | 'prefer' | 'require';
  /** Time for one address to accept and authenticate, in milliseconds. 0: no limit but the kernel's. */
  readonly connectTimeoutMs: number;
  readonly applicationName: string;
  /** Command-line options for the server, such as `-c statement_timeout=0`. */
  readonly options?: string | undefined;
  readonly targetSessionAttributes: SessionAttributes;
  /** Try the hosts in random order. */
  readonly loadBalance: boolean;
  /** Idle seconds before TCP probes start. 0: no probes. */
  readonly keepAliveSeconds: number;
  /** What libpq would print as warnings, e.g. a password file that others can read. */
  readonly warnings: readonly string[];
}

/** True where `host` is a directory of unix sockets. */
export function isSocketDirectory(host: string): boolean {
  return host.startsWith('/') || host.startsWith('@');
}
