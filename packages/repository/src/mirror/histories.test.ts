import { hasCode, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { contentOf, createMemoryStore, failing, faulty, losingAcknowledgement } from '@keyframe/testkit';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { memoryJournal } from './journal.ts';
import { sealed, testMirror } from './mirrored-store.fixture.ts';

const NAMES = ['a', 'b', 'c'] as const;
const KEYS = ['x/1.json', 'x/2.json', 'x/3.json'] as const;

/** What a store is like during a step. */
const weather = fc.constantFrom('well', 'well', 'well', 'down', 'forgetful');
const step = fc.record({
  key: fc.constantFrom(...KEYS),
  writer: fc.integer({ min: 1, max: 3 }),
  weather: fc.tuple(weather, weather, weather),
  forgetsJournal: fc.boolean(),
});

function under(store: Store, how: string): Store {
  if (how === 'down')
    return faulty(store, failing('put'), failing('get'), failing('stat'), failing('list'), failing('delete'));
  return how === 'forgetful' ? faulty(store, losingAcknowledgement({ key: /^x/u })) : store;
}

it('whatever fails when: what was acknowledged is read, nobody else wins its name, and a sync makes all stores alike', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      const mirror = await testMirror();
      const acknowledged = new Map<string, number>();
      let journal = memoryJournal();
      for (const { key, writer, weather: how, forgetsJournal } of steps) {
        for (const [index, name] of NAMES.entries())
          mirror.stores[name] = under(mirror.plain[name] ?? createMemoryStore(), how[index] ?? 'well');
        if (forgetsJournal) journal = memoryJournal();
        const store = mirror.open({ journal });
        try {
          await store.put(key, bytesOf(sealed(`${key} by ${writer}`)), { ifAbsent: true });
          expect([key, acknowledged.get(key) ?? writer]).toEqual([key, writer]);
          acknowledged.set(key, writer);
        } catch (error) {
          if (!hasCode(error, 'ALREADY_EXISTS', 'UNAVAILABLE', 'CONFLICT')) throw error;
        }
        await store.close?.();
      }
      for (const name of NAMES) mirror.stores[name] = mirror.plain[name] ?? createMemoryStore();
      for (const [key, writer] of acknowledged)
        expect(await contentOf(mirror.open({ strict: true }), key)).toEqual(sealed(`${key} by ${writer}`));
      const { faults, conflicts } = await mirror.open({ journal }).sync({ verify: true });
      expect(faults).toEqual([]);
      for (const key of KEYS.filter((each) => !conflicts.includes(each))) {
        const copies = await Promise.all(
          NAMES.map((name) => contentOf(mirror.plain[name] ?? createMemoryStore(), key)),
        );
        expect(copies.map((copy) => copy?.toString())).toEqual(NAMES.map(() => copies[0]?.toString()));
      }
    }),
    { numRuns: 12 },
  );
}, 60_000);
