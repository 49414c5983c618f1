import type { TimelineId } from '@keyframe/contracts';

/** What is wrong with an object, or with what the objects say together. */
export type FindingKind =
  /** A backup or the WAL archive needs it, and it is not there. */
  | 'missing'
  /** Its bytes are not the ones that were written. */
  | 'damaged'
  /** It is whole, and another one than belongs there. */
  | 'replaced'
  /** The record of a backup is not signed by a key that is believed. */
  | 'signature'
  /** The signed chain is not whole. */
  | 'chain';

/** Something that is wrong in the repository. */
export interface Finding {
  readonly kind: FindingKind;
  /** Key of the object. */
  readonly object: string;
  readonly what: string;
  /** Labels of backups that cannot be restored because of it. */
  readonly backups: readonly string[];
  /** Moments that cannot be recovered because of it, in words. */
  readonly moments: readonly string[];
  /** The newest commit that is kept before these moments; absent where it is not known. ISO 8601 to the microsecond. */
  readonly lastCommitBefore?: string | undefined;
  /** What to do now. */
  readonly hint: string;
}

/** Something to know that is no fault of the repository. */
export interface Remark {
  readonly message: string;
  readonly hint?: string | undefined;
}

/** What reading costs. */
export interface Cost {
  readonly objects: number;
  readonly readBytes: number;
  readonly requests: number;
}

/** What became of the objects that were to be checked. */
export interface Coverage {
  /** Read at the level that was asked for. */
  readonly checked: number;
  /** Read before, and unchanged since by its end and its size. */
  readonly remembered: number;
  /** Left out by the sample. */
  readonly leftOut: number;
  /** Of those checked: every byte was held against hashes, and none was decoded, for want of a key. */
  readonly hashed: number;
  /** When what is remembered was read, the longest ago; ISO 8601 in UTC. Bytes can rot since without a sign at the end. */
  readonly oldestReadAt: string | undefined;
}

/** What the signed history says. */
export interface ChainState {
  readonly signed: boolean;
  readonly entries: number;
  /** `<number>:<sha256>` of the newest entry: keep it elsewhere, and give it back with `--head`. */
  readonly head: string | undefined;
  /** False: an older copy of the whole repository would look the same. */
  readonly rollbackExcluded: boolean;
}

/** What a verification found, and what it looked at. */
export interface VerifyReport {
  readonly cluster: string;
  readonly level: 'outline' | 'content';
  readonly findings: readonly Finding[];
  readonly remarks: readonly Remark[];
  readonly backups: number;
  readonly epochs: readonly {
    readonly epoch: number;
    readonly segments: number;
    /** Of these, those that an object of the index tells of. */
    readonly indexedSegments: number;
    readonly timelines: readonly TimelineId[];
    readonly chain: ChainState;
  }[];
  /** Foreseen before it began. */
  readonly cost: Cost;
  readonly spent: Cost;
  readonly coverage: Coverage;
  /** Repeats the same sample. */
  readonly seed: number | undefined;
  /** Only the cost was to be told. */
  readonly dryRun: boolean;
}
