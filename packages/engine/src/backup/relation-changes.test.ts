import { lsn } from '@keyframe/contracts';
import type { FileFact, WalFact } from '@keyframe/wal';
import { describe, expect, it } from 'vitest';
import { KeptRelations, RelationChanges } from './relation-changes.ts';

const place = { lsn: lsn(1n), endLsn: lsn(2n), previousEndLsn: lsn(1n) };
const table = { tablespace: 1663, database: 5, relfilenode: 16_384 };
const create = (change = {}): FileFact => ({ kind: 'relation-create', ...place, ...table, isMain: true, ...change });
const truncate = (blocks: number, isMain = true): FileFact => ({
  kind: 'relation-truncate',
  ...place,
  ...table,
  isMain,
  blocks,
});
const database = (kind: 'database-create' | 'database-drop', ...tablespaces: number[]): FileFact => ({
  kind,
  ...place,
  database: 5,
  tablespaces,
});
const map: FileFact = { kind: 'relation-map', ...place, tablespace: 1663, database: 5 };
const minimal = { kind: 'parameter-change', ...place, walLevel: 'minimal' } as WalFact;

const keptAfter = (...facts: readonly WalFact[]): number => {
  const changes = new RelationChanges();
  for (const fact of facts) changes.see(fact);
  return changes.keptBlocks(table);
};

describe('what is left of a relation', () => {
  it.each([
    ['all of it when nothing happened to it', [create({ relfilenode: 1 }), create({ database: 6 })], Infinity],
    ['nothing when it was created', [create()], 0],
    ['all of it when only its maps were', [create({ isMain: false }), truncate(3, false)], Infinity],
    ['as much as was ever left of it', [truncate(7), truncate(3), truncate(9)], 3],
    ['nothing when its database was copied into its tablespace', [database('database-create', 1663)], 0],
    ['nothing when its database left its tablespace', [database('database-drop', 1700, 1663), truncate(4)], 0],
    ['all of it when its database left another one', [database('database-drop', 1700)], Infinity],
    ['nothing when the catalogues of its database moved', [map], 0],
  ])('is %s', (_, facts, blocks) => {
    expect(keptAfter(...facts)).toBe(blocks);
  });

  it('is nothing where so many relations changed that they are not remembered one by one', () => {
    expect(keptAfter(...Array.from({ length: 100_001 }, (_, index) => create({ relfilenode: 20_000 + index })))).toBe(
      0,
    );
  });

  it('is known page by page where some were marked as visible', () => {
    const changes = new RelationChanges();
    changes.see({ kind: 'page-visible', ...place, ...table, block: 3 });
    expect(changes.keptBlocks(table)).toBe(Infinity);
    expect([2, 3].map((block) => changes.marked.has({ ...table, block }))).toEqual([false, true]);
  });

  it('is not known where the server wrote without WAL', () => {
    const changes = new RelationChanges();
    expect(changes.unlogged).toBe(false);
    changes.see(minimal);
    expect(changes.unlogged).toBe(true);
  });
});

describe('what was kept', () => {
  const kept = new KeptRelations();
  kept.add({ ...table, fork: 'main', segment: 0 });

  it.each([create(), database('database-create', 1663), database('database-drop', 1700, 1663), minimal])(
    'is doubtful after a $kind',
    (fact) => {
      expect(kept.isDoubtful(fact)).toBe(true);
    },
  );

  it.each([create({ relfilenode: 2 }), create({ isMain: false }), truncate(0), map, database('database-create', 1700)])(
    'is not after a $kind',
    (fact) => {
      expect(kept.isDoubtful(fact)).toBe(false);
    },
  );
});
