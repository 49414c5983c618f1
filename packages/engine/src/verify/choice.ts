import { hash } from 'node:crypto';
import type { ListedObject } from '@keyframe/repository';
import type { Checked, Level } from './memory.ts';

/** Which objects are to be read, and which are believed. */
export interface Choice {
  readonly level: 'outline' | 'content';
  /** False on a host without a key for content: there hashes are all that can be asked for. Default true. */
  readonly canDecode?: boolean | undefined;
  /** What was last checked before this is checked again, milliseconds since 1970. Default: what was checked once is not. */
  readonly sinceMs?: number | undefined;
  /** Read just this share, from 0 to 1, whatever is remembered. */
  readonly sample?: number | undefined;
  readonly seed?: number | undefined;
}

/** `read`: at the level asked for. `compare`: its end with what is remembered. `leave`: not in the sample. */
export type Step = 'read' | 'compare' | 'leave';

const DEPTH = { outline: 0, hashes: 1, content: 2 } as const satisfies Record<Level, number>;

/** What to do with one object. Another copy in its place, however equal, was not read yet. */
export function stepFor(object: ListedObject, known: Checked | undefined, choice: Choice): Step {
  if (choice.sample !== undefined) return fractionOf(object.key, choice.seed ?? 0) < choice.sample ? 'read' : 'leave';
  const isKnown =
    known !== undefined &&
    known.sizeBytes === object.sizeBytes &&
    (object.stamp === undefined || known.stamp === object.stamp) &&
    DEPTH[known.level] >= DEPTH[leastOf(choice)] &&
    known.atMs >= (choice.sinceMs ?? 0);
  return isKnown ? 'compare' : 'read';
}

/** What counts as read. */
function leastOf({ level, canDecode = true }: Choice): Level {
  return level === 'content' && !canDecode ? 'hashes' : level;
}

/** A number from 0 to 1 that depends on key and seed alone. */
function fractionOf(key: string, seed: number): number {
  return hash('sha256', `${seed} ${key}`, 'buffer').readUInt32LE(0) / 2 ** 32;
}
