import { hash } from 'node:crypto';
import type { ListedObject } from '@keyframe/repository';
import type { Checked, Level } from './memory.ts';

/** Which objects are to be read, and which are believed. */
export interface Choice {
  readonly level: Level;
  /** What was last checked before this is checked again, milliseconds since 1970. Default: what was checked once is not. */
  readonly sinceMs?: number | undefined;
  /** Read just this share, from 0 to 1, whatever is remembered. */
  readonly sample?: number | undefined;
  readonly seed?: number | undefined;
}

/** `read`: at the level asked for. `compare`: its end with what is remembered. `leave`: not in the sample. */
export type Step = 'read' | 'compare' | 'leave';

/** What to do with one object. */
export function stepFor(object: ListedObject, known: Checked | undefined, choice: Choice): Step {
  if (choice.sample !== undefined) return fractionOf(object.key, choice.seed ?? 0) < choice.sample ? 'read' : 'leave';
  const isKnown =
    known !== undefined &&
    known.sizeBytes === object.sizeBytes &&
    (known.level === 'content' || choice.level === 'outline') &&
    known.atMs >= (choice.sinceMs ?? 0);
  return isKnown ? 'compare' : 'read';
}

/** A number from 0 to 1 that depends on key and seed alone. */
function fractionOf(key: string, seed: number): number {
  return hash('sha256', `${seed} ${key}`, 'buffer').readUInt32LE(0) / 2 ** 32;
}
