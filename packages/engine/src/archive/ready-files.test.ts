import { segmentName } from '@keyframe/contracts';
import { expect, it } from 'vitest';
import { ReadyFiles } from './ready-files.ts';

const SEGMENT_BYTES = 16 << 20;
const named = (number: number): string => segmentName(1, BigInt(number), SEGMENT_BYTES);

function over(entries: readonly string[]): { readonly ready: ReadyFiles; readonly listings: () => number } {
  let listings = 0;
  const ready = new ReadyFiles('', async function* () {
    listings += 1;
    yield* entries;
  });
  return { ready, listings: () => listings };
}

it('gives 20,000 files in order for a single listing', async () => {
  const names = Array.from({ length: 20_000 }, (_, number) => named(number));
  const { ready, listings } = over(names.toReversed().map((name) => `${name}.ready`));
  const given: string[] = [];
  for (;;) {
    const name = await ready.next(performance.now(), () => false);
    if (name === undefined) break;
    ready.settle(name, performance.now());
    given.push(name);
  }
  expect(given).toEqual(names);
  expect(listings()).toBe(1);
});

it('gives history files first, and nothing that is done, settled, skipped or no WAL file', async () => {
  const { ready } = over(
    [3, 1, 2, 4]
      .map((number) => `${named(number)}.ready`)
      .concat(['00000002.history.ready', 'x.ready', `${named(5)}.done`]),
  );
  ready.settle(named(2), 7);
  const skip = (name: string): boolean => name === named(3);
  const given: (string | undefined)[] = [];
  for (let turn = 0; turn < 4; turn += 1) given.push(await ready.next(performance.now(), skip));
  expect(given).toEqual(['00000002.history', named(1), named(4), undefined]);
  expect([ready.settledAt(named(2)), ready.settledAt(named(1))]).toEqual([7, -Infinity]);
});

it('does not list again while nothing happens', async () => {
  const { ready, listings } = over([]);
  for (let turn = 0; turn < 3; turn += 1) expect(await ready.next(0, () => false)).toBeUndefined();
  expect(listings()).toBe(1);
});
