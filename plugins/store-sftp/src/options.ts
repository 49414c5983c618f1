import type { Secret } from '@keyframe/contracts';

/** Options as the store takes them. */
export interface SftpStoreOptions {
  readonly host: string;
  /** Default 22. */
  readonly port: number;
  readonly user: string;
  /** Absolute path on the server. Created by the first write. */
  readonly directory: string;
  /** Content of a private key file. */
  readonly privateKey: Secret | undefined;
  /** Opens `privateKey`. */
  readonly passphrase: Secret | undefined;
  readonly password: Secret | undefined;
  /** Socket of a running ssh-agent. */
  readonly agent: string | undefined;
  /** Fingerprints or public keys that the server may show. */
  readonly hostKeys: readonly string[];
  /** Content of a known_hosts file. */
  readonly knownHostsText: string | undefined;
  /** Takes whatever key the server shows first, and no other while the process lives. */
  readonly acceptAnyHostKey: boolean;
  /** `ifOffered`: writes although the server cannot flush to its disk. Default `required`. */
  readonly sync: 'required' | 'ifOffered';
  /** SFTP sessions over the one connection, 1 to 10. Default 4. */
  readonly channels: number;
  readonly fileMode: number;
  readonly directoryMode: number;
}
