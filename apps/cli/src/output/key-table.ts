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

/** What there is instead of keys, and how to get some. */
export function renderNoKeys(repository: string, out: TextOutput): void {
  out.line(
    `${out.style('warning', 'not encrypted')}: ${repository} has no keys, and whoever reads its stores can read the database`,
  );
  out.line(`To encrypt it name a key under \`repositories.${repository}.encrypt\`, then run keyframe key add.`);
}

const HERE: Readonly<Record<KeySlot['here'], string>> = {
  'read-write': 'reads and writes',
  'private-key': 'has its private key: `key test` tries it',
  'write-only': 'public key only',
  fails: 'does not open it: a wrong passphrase, or a damaged slot',
  unknown: 'not in this configuration',
};
