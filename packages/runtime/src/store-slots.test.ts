import { describe, expect, it } from 'vitest';
import { checkStoreSlots, storeName } from './store-slots.ts';

const problems = (repository: object): string[] =>
  checkStoreSlots('vault', repository, undefined).map(({ path, reason }) => `${path.slice(2).join('.')} ${reason}`);
const THREE = [{ use: 'fs', name: 'a' }, { use: 'fs', name: 'b' }, { use: 's3' }];

describe('stores', () => {
  it('are called what their slot says, else what `use` says, else by their place', () => {
    const slots = [{ use: 'fs', name: 'rack' }, { use: 's3' }, { use: './own.mjs' }, { use: { kind: 'store' } }];
    expect(slots.map(storeName)).toEqual(['rack', 's3', 'store-3', 'store-4']);
  });

  it.each<[object, string[]]>([
    [{ stores: THREE }, []],
    [{ stores: THREE, quorum: 2 }, []],
    [{ stores: THREE, quorum: 3 }, []],
    [{ stores: THREE, lead: 's3' }, []],
    [{ stores: THREE, lead: 'b', quorum: 1 }, []],
    [{ stores: [{ use: 'fs' }] }, []],
    [{ stores: [] }, ['stores must name a store']],
    [{ stores: [{ use: 'fs' }, { use: 'fs' }] }, ['stores.1 another store is called fs, too']],
    [{ stores: THREE, lead: 'c' }, ['lead there is no store "c"']],
    [
      { stores: THREE, quorum: 1 },
      ['quorum must be from 2 to 3, more than half of the stores unless there is a `lead`'],
    ],
    [
      { stores: THREE, quorum: 4, lead: 'a' },
      ['quorum must be from 1 to 3, more than half of the stores unless there is a `lead`'],
    ],
    [
      { stores: [{ use: 'fs', name: 'Bad Name' }] },
      ['stores.0.name is no name: a name has 1 to 63 of a-z, 0-9, - and _, and starts with a letter or digit'],
    ],
  ])('of %j', (repository, expected) => {
    expect(problems(repository)).toEqual(expected);
  });
});
