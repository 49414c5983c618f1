import { hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import { textOf } from '@keyframe/contracts/streams';
import { type ContractCase, raises, same } from '../contract.ts';
import { type Scope, sourceOf, storeCase } from './scope.ts';

const conditionalPut: ContractCase<Store>['needs'] = {
  reason: 'capabilities.conditionalPut is not declared',
  met: (store) => store.capabilities.conditionalPut === true,
};
const conditionalReplace: ContractCase<Store>['needs'] = {
  reason: 'capabilities.conditionalReplace is not declared',
  met: (store) => store.capabilities.conditionalReplace === true,
};
const noConditionalReplace: ContractCase<Store>['needs'] = {
  reason: 'capabilities.conditionalReplace is declared',
  met: (store) => store.capabilities.conditionalReplace !== true,
};

/** `put` with `ifAbsent`. */
export const ifAbsentCases: readonly ContractCase<Store>[] = [
  storeCase('ifAbsent creates an object', async (scope) => {
    const { sizeBytes } = await scope.store.put(scope.key('i'), textOf('one'), { ifAbsent: true });
    same(sizeBytes, 3);
    same(await scope.read('i'), 'one');
  }),
  storeCase('ifAbsent refuses to replace, even by the same bytes', async (scope) => {
    await scope.write('i', 'one');
    for (const text of ['two', 'one', '']) {
      await raises('ALREADY_EXISTS', () => scope.store.put(scope.key('i'), textOf(text), { ifAbsent: true }));
    }
    same(await scope.read('i'), 'one');
  }),
  storeCase('ifAbsent refuses to replace an empty object', async (scope) => {
    await scope.write('i', '');
    await raises('ALREADY_EXISTS', () => scope.store.put(scope.key('i'), textOf('x'), { ifAbsent: true }));
  }),
  storeCase('ifAbsent succeeds after a put that failed and after a delete', async (scope) => {
    const broken = sourceOf(2, async function* () {
      yield Buffer.from('x');
      throw new KeyframeError('CORRUPT', 'source broke');
    });
    await raises('CORRUPT', () => scope.store.put(scope.key('i'), broken, { ifAbsent: true }));
    await scope.store.put(scope.key('i'), textOf('one'), { ifAbsent: true });
    await scope.store.delete([scope.key('i')]);
    await scope.store.put(scope.key('i'), textOf('two'), { ifAbsent: true });
    same(await scope.read('i'), 'two');
  }),
  storeCase(
    'of 16 writers with ifAbsent exactly one wins and its bytes stay',
    async (scope) => {
      for (let round = 0; round < 5; round += 1) await ifAbsentRace(scope, `race-${round}/object`);
    },
    conditionalPut,
  ),
];

async function ifAbsentRace(scope: Scope, name: string): Promise<void> {
  const texts = Array.from({ length: 16 }, (_, index) => String(index).repeat(index * 1_000 + 1));
  const results = await Promise.allSettled(
    texts.map((text) => scope.store.put(scope.key(name), textOf(text), { ifAbsent: true })),
  );
  const winners = texts.filter((_, index) => results[index]?.status === 'fulfilled');
  same(winners.length, 1, 'number of winners');
  const losses = results.filter((result) => result.status === 'rejected');
  same(
    losses.every(({ reason }) => hasCode(reason, 'ALREADY_EXISTS')),
    true,
    'every loser is told ALREADY_EXISTS',
  );
  same(await scope.read(name), winners[0]);
}

/** `put` with `ifMatch`. */
export const ifMatchCases: readonly ContractCase<Store>[] = [
  storeCase(
    'ifMatch replaces that version only',
    async (scope) => {
      const key = scope.key('m');
      const first = await scope.store.put(key, textOf('one'));
      const second = await scope.store.put(key, textOf('two'), { ifMatch: first.version ?? '' });
      await raises('CONFLICT', () => scope.store.put(key, textOf('three'), { ifMatch: first.version ?? '' }));
      same(await scope.read('m'), 'two');
      await scope.store.put(key, textOf('four'), { ifMatch: second.version ?? '' });
      same(await scope.read('m'), 'four');
    },
    conditionalReplace,
  ),
  storeCase(
    'ifMatch on a missing object is a conflict',
    async (scope) => {
      const { version = '' } = await scope.store.put(scope.key('m'), textOf('one'));
      await scope.store.delete([scope.key('m')]);
      await raises('CONFLICT', () => scope.store.put(scope.key('m'), textOf('two'), { ifMatch: version }));
      same(await scope.exists('m'), false);
    },
    conditionalReplace,
  ),
  storeCase(
    'of 16 writers with the same ifMatch exactly one wins',
    async (scope) => {
      const { version = '' } = await scope.store.put(scope.key('m'), textOf('old'));
      const results = await Promise.allSettled(
        Array.from({ length: 16 }, (_, index) =>
          scope.store.put(scope.key('m'), textOf(String(index)), { ifMatch: version }),
        ),
      );
      same(results.filter(({ status }) => status === 'fulfilled').length, 1, 'number of winners');
      same(await scope.read('m'), String(results.findIndex(({ status }) => status === 'fulfilled')));
    },
    conditionalReplace,
  ),
  storeCase(
    'ifMatch is refused where it is not declared',
    async (scope) => {
      await scope.write('m', 'one');
      await raises('UNSUPPORTED', () => scope.store.put(scope.key('m'), textOf('two'), { ifMatch: '1' }));
      same(await scope.read('m'), 'one');
    },
    noConditionalReplace,
  ),
];
