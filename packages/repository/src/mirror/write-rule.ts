import { KeyframeError } from '@keyframe/contracts';

/** When a write counts. Any two sets of stores that satisfy it have a store in common, so create-only fences all writers. */
export interface WriteRule {
  /** How many stores must hold an object. */
  readonly quorum: number;
  /** Name of the store that must be among them. */
  readonly lead?: string | undefined;
}

/** More than half, or one where a lead is named. */
export function defaultQuorum(stores: number, lead: string | undefined): number {
  return lead === undefined ? Math.floor(stores / 2) + 1 : 1;
}

/** @throws {KeyframeError} INVALID_OPTION for a rule under which two writers could both win */
export function assertWriteRule({ quorum, lead }: WriteRule, names: readonly string[]): void {
  const legal = Number.isSafeInteger(quorum) && quorum >= 1 && quorum <= names.length;
  const overlaps = lead === undefined ? quorum * 2 > names.length : names.includes(lead);
  if (legal && overlaps && new Set(names).size === names.length) return;
  throw new KeyframeError('INVALID_OPTION', `a quorum of ${quorum} of the stores ${names.join(', ')} fences nobody`, {
    hint: 'Set `quorum` to more than half of the stores, or `lead` to the name of one of them.',
    details: { quorum, lead, stores: names.join(', ') },
  });
}

/** Whether an object that those stores hold is durable. */
export function isWriteSet({ quorum, lead }: WriteRule, names: Iterable<string>): boolean {
  const holders = new Set(names);
  return holders.size >= quorum && (lead === undefined || holders.has(lead));
}
