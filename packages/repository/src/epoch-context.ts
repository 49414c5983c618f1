import type { Compressor, Store } from '@keyframe/contracts';
import type { Epoch } from './cluster.ts';
import type { Keyring } from './encryption/keyring.ts';
import type { Codecs } from './objects/codecs.ts';
import type { Signatures } from './signing/signatures.ts';
import type { RepositoryTuning } from './tuning.ts';

/** What the archive of one epoch works with. */
export interface EpochContext {
  readonly store: Store;
  readonly compressor: Compressor;
  readonly codecs: Codecs;
  readonly now: () => Date;
  readonly tuning: RepositoryTuning;
  readonly repositoryId: string;
  readonly signatures: Signatures;
  readonly keyring: Keyring;
  /** Under which equal content is recognised where nothing is encrypted. */
  readonly contentKey: Uint8Array;
  readonly frameBytes: number;
  readonly walFrameBytes: number;
  readonly cluster: string;
  readonly epoch: Epoch;
  /** `clusters/<name>/<epoch>/` */
  readonly prefix: string;
}
