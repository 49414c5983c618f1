import type { MirroredStore } from '@keyframe/repository';
import { expect, it } from 'vitest';
import { mirrorBlocks } from './mirror-blocks.ts';

type Status = Awaited<ReturnType<MirroredStore['status']>>;
type Health = Status['stores'][number]['health'];

/** A mirror of two stores, the second of which is as told, look by look. */
function mirrorWith(...looks: readonly Health[]): {
  readonly status: () => Promise<Status>;
  readonly seen: () => number;
} {
  let seen = 0;
  const store = (name: string, health: Health): Status['stores'][number] => ({
    name,
    lead: false,
    health,
    objects: 9,
    bytes: 9,
    missingObjects: health === 'behind' ? 3 : 0,
    missingBytes: 0,
    journalled: 0,
    latencyMs: 1,
    fault: undefined,
  });
  return {
    seen: () => seen,
    status: async () => {
      const health = looks[Math.min(seen, looks.length - 1)] ?? 'ok';
      seen += 1;
      const rest = { repositoryId: 'r', quorum: 2, lead: undefined, writable: true, objects: 9, conflicts: [] };
      return { ...rest, stores: [store('near', 'ok'), store('far', health)] };
    },
  };
}

it('lets an expiry go on when every store has everything', async () => {
  expect(await mirrorBlocks(mirrorWith('ok'))).toEqual([]);
});

it('does not mind what is only on its way', async () => {
  const mirror = mirrorWith('behind', 'ok');
  expect(await mirrorBlocks(mirror)).toEqual([]);
  expect(mirror.seen()).toBe(2);
});

it.each(['behind', 'unreachable', 'left-out', 'conflict', 'empty', 'foreign'] as const)(
  'stops it while a store is %s',
  async (health) => {
    expect(await mirrorBlocks(mirrorWith(health))).toEqual([expect.stringContaining('store far')]);
  },
);
