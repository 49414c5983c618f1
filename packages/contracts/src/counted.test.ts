import { expect, it } from 'vitest';
import { counted } from './counted.ts';

it('agrees with its number', () => {
  expect([counted(0, 'pack'), counted(1, 'base backup'), counted(2, 'WAL segment')]).toEqual([
    '0 packs',
    '1 base backup',
    '2 WAL segments',
  ]);
  expect([counted(1, 'copy', 'copies'), counted(7, 'copy', 'copies')]).toEqual(['1 copy', '7 copies']);
});
