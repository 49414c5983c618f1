import { parseWalFileName, segmentName } from '@keyframe/contracts';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { InventoryBuilder, parseWalInventory, type WalInventory } from './wal-inventory.ts';

const SIZE = 16 << 20;

function inventoryOf(names: Iterable<string>, segmentSizeBytes: number): WalInventory {
  const builder = new InventoryBuilder();
  for (const name of names) {
    const file = parseWalFileName(name);
    if (file !== undefined) builder.add(file);
  }
  return builder.finish(segmentSizeBytes);
}

test('an inventory is one short line', () => {
  const inventory = inventoryOf(
    [
      '000000010000000000000003',
      '000000010000000000000004',
      '0000000100000000000000FF',
      '000000010000000100000000',
      '000000020000000100000000',
      '00000002.history',
      '000000010000000100000000.partial',
      '000000010000000000000003.00000028.backup',
    ],
    SIZE,
  );
  expect(inventory.toText()).toBe('v1.16777216.1:3-4+ff-100,2:100.2.1:100.3c80514d');
});

test('whatever an archive holds, its text says the same', () => {
  const entry = fc.tuple(
    fc.integer({ min: 1, max: 4 }),
    fc.nat(300),
    fc.constantFrom('', '', '', '.partial', 'history'),
  );
  const sizes = fc.constantFrom(1 << 20, 16 << 20, 1 << 30);
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 100 }), sizes, (entries, size) => {
      const held = new Set(
        entries.map(([timeline, number, kind]) =>
          kind === 'history' ? `0000000${timeline}.history` : segmentName(timeline, BigInt(number), size) + kind,
        ),
      );
      const inventory = inventoryOf(held, size);
      const parsed = parseWalInventory(inventory.toText());
      expect(inventory.toText()).toMatch(/^[0-9a-z.:+,-]*$/u);
      expect(parsed.toText()).toBe(inventory.toText());
      for (const each of [inventory, parsed])
        for (let timeline = 1; timeline <= 4; timeline += 1) {
          expect(each.has(`0000000${timeline}.history`)).toBe(held.has(`0000000${timeline}.history`));
          for (let number = 0; number <= 300; number += 1) {
            const name = segmentName(timeline, BigInt(number), size);
            for (const wanted of [name, `${name}.partial`]) expect(each.has(wanted)).toBe(held.has(wanted));
          }
        }
    }),
    { numRuns: 10 },
  );
});

test('a text that was cut or changed is refused', () => {
  const text = inventoryOf(['000000010000000000000003', '00000002.history'], SIZE).toText();
  for (let size = 0; size < text.length; size += 1)
    expect(() => parseWalInventory(text.slice(0, size))).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  for (const wrong of [text.replace(':3', ':4'), `${text}0`, text.replace('v1', 'v2'), 'v1.16777216.x..']) {
    expect(() => parseWalInventory(wrong)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  }
});

test('an archive of a year fits on a command line', () => {
  const year = Array.from({ length: 100_000 }, (_, number) => segmentName(1, BigInt(number), 16 << 20));
  expect(inventoryOf(year, SIZE).toText().length).toBeLessThan(100);
});
