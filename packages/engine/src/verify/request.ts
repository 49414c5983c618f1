import type { ChainHead, ClusterHistory } from '@keyframe/repository';
import type { VerifyMemory } from './memory.ts';

/** Whose history is verified, and where it is remembered what was. */
export interface VerifyContext {
  readonly history: ClusterHistory;
  readonly memory: VerifyMemory;
  readonly now: () => Date;
  /** One store of several is looked at: what it lacks another may have, so that nothing is noted for later backups. */
  readonly isAlone?: boolean | undefined;
}

/** What to verify, and how closely. */
export interface VerifyRequest {
  /** Only these backups, and the WAL all the same. Default: all of them. */
  readonly labels?: readonly string[] | undefined;
  /** Read every byte: decode every frame, check every WAL record. Default: sizes, headers, frame tables, ends. */
  readonly deep?: boolean | undefined;
  /** Only the WAL archive. */
  readonly walOnly?: boolean | undefined;
  /** What was last checked before this is checked again. Default: what was checked once is compared by its end. */
  readonly since?: Date | undefined;
  /** Read only this share of the objects, 0 to 1. */
  readonly sample?: number | undefined;
  /** Of the sample. */
  readonly seed?: number | undefined;
  /** A head of the signed chain that was kept elsewhere. */
  readonly head?: ChainHead | undefined;
  /** Tell the cost, and read no object that it counts. */
  readonly dryRun?: boolean | undefined;
}
