import type { Abortable } from '@keyframe/contracts';

/** `keyframe.json` or the record of an epoch: without it nobody finds what lies below. */
export interface LostRoot {
  readonly key: string;
  readonly fault: 'missing' | 'damaged';
  /** What it will be; undefined where what is left does not tell. */
  readonly content: Buffer | undefined;
  /** Where its facts come from, or why there are none; for people. */
  readonly detail: string;
  /** What of it could not be found out and is filled in. */
  readonly assumed: readonly string[];
}

/** Brings back what says who a repository and its clusters are, from what the objects below say themselves. */
export interface LostRoots {
  /**
   * Changes nothing. A repository whose `keyframe.json` is lost is told of that alone: what lies in it can be looked at
   * when that is back.
   * @throws {KeyframeError} CORRUPT when objects contradict each other, REPOSITORY_MISSING when there is nothing at all
   */
  find(options?: Abortable): Promise<LostRoot[]>;
  /** Writes one that was found with its content. What is damaged under its key is replaced. */
  bringBack(root: LostRoot, options?: Abortable): Promise<void>;
}
