import type { Abortable } from '@keyframe/contracts';

/** A writer whose public key the repository holds. */
export interface KnownSigner {
  readonly keyId: string;
  /** `ed25519:<base64>` */
  readonly publicKey: string;
  /** Free text of who introduced it. */
  readonly name: string;
  readonly createdAt: string;
  /** Id of the key whose signature vouches for it; its own: nobody else's. */
  readonly introducedBy: string;
  readonly trust: 'trusted' | 'first-use' | 'foreign';
}

/** The writers of a repository, by their public keys. */
export interface Signers {
  /** Oldest first. A damaged one is left out: what it signed is foreign then. */
  list(options?: Abortable): Promise<KnownSigner[]>;
  /**
   * Puts this host's own public key into the repository, if it has one and it is not there. Gives its id.
   * @throws {KeyframeError} INVALID_OPTION when the configured key is none
   */
  announce(options?: Abortable): Promise<string | undefined>;
  /**
   * Makes another writer's public key trusted wherever this host's is. Gives its id.
   * @throws {KeyframeError} INVALID_OPTION, CONFLICT when the repository has that signer, by somebody else's word
   */
  introduce(publicKey: string, name: string, options?: Abortable): Promise<string>;
}
