/** Slots of keys, for people. @packageDocumentation */
import type { App } from '@keyframe/runtime';
import type { TextOutput } from './text.ts';

type KeySlot = Awaited<ReturnType<App['repository']['keys']['add']>>[number];

/** One line for each slot, the newest generation first. */
export function renderSlots(slots: readonly KeySlot[], out: TextOutput): void {
  out.table(
    ['generation', 'slot', 'kind', 'key id', 'to write', 'here'],
    slots
      .toReversed()
      .map((each) => [
        String(each.generation),
        each.slot,
        each.encryptor,
        each.keyId,
        each.asymmetric ? 'public key' : 'whoever can write can read',
        HERE[each.here],
      ]),
    { right: [0] },
  );
}

const HERE: Readonly<Record<KeySlot['here'], string>> = {
  'read-write': 'reads and writes',
  'write-only': 'public key only',
  unknown: 'not in this configuration',
};
