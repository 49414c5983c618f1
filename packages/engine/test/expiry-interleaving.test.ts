import { hasCode, KeyframeError } from '@keyframe/contracts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DAY_MS, HOUR_MS, World } from '../src/expire/expiry-model.fixture.ts';
import { assertTruths } from '../src/expire/expiry-truths.fixture.ts';
import type { RetentionPolicy } from '../src/expire/policy.ts';
import { atOperation, watched } from '../src/expire/watched-store.fixture.ts';

const POLICY: RetentionPolicy = { count: 1, graceMs: HOUR_MS, wal: 'window' };
const AT_ONCE: RetentionPolicy = { ...POLICY, graceMs: 0 };

/** Backups that share packs, one that was killed, and something to expire. */
async function history(policy: RetentionPolicy, wrap?: Parameters<typeof World.create>[1]): Promise<World> {
  const world = await World.create(policy, wrap);
  world.advance(HOUR_MS);
  await world.backup('incremental');
  world.advance(30 * HOUR_MS);
  await world.begin('incremental');
  world.kill();
  world.advance(HOUR_MS);
  await world.backup('incremental');
  await world.push(2);
  return world;
}

/** Every expiry that a long sleep can bring: marks, grace over, removal, and once more. */
async function everyExpiry(world: World): Promise<void> {
  for (let each = 0; each < 4; each += 1) {
    // Past the lease of one that was killed.
    world.advance(26 * HOUR_MS);
    await world.expire();
  }
}

describe.each(['full', 'incremental'] as const)('a backup (%s)', (type) => {
  it.each([
    ['sleeps past its lease while expiries run to their end', everyExpiry],
    ['goes on while one expiry runs to its end', async (world: World) => void (await world.expire())],
  ])('that %s, whichever of its operations is next', async (_, expiries) => {
    const outcomes = new Set<string>();
    for (let number = 1, count = 1; number <= count; number += 1) {
      let before = async (): Promise<void> => undefined;
      const world = await history(AT_ONCE, (store) => watched(store, () => before()));
      await world.expire();
      await world.backup('full');
      const pause = atOperation(number, () => expiries(world));
      before = pause.before;
      outcomes.add(await world.backup(type).catch(refusedBegin));
      before = async () => undefined;
      count = Math.max(count, pause.seen());
      await assertTruths(world);
      await everyExpiry(world);
      await assertTruths(world);
    }
    expect(outcomes).toContain('published');
  });
});

/** A backup whose base went before it could name it is begun again by whoever wants it. */
function refusedBegin(error: unknown): 'refused' {
  if (!hasCode(error, 'CONFLICT', 'CORRUPT', 'BACKUP_NOT_FOUND')) throw error;
  return 'refused';
}

describe('an expiry', () => {
  it.each(['full', 'incremental'] as const)(
    'that sleeps while a backup (%s) is taken, at any operation',
    async (type) => {
      for (let number = 1, count = 1; number <= count; number += 1) {
        const world = await history(AT_ONCE);
        const pause = atOperation(number, async () => {
          expect(await world.backup(type)).toBe('published');
          world.advance(HOUR_MS);
        });
        await world.expire(watched(world.store, pause.before)).catch(stoppedByOthers);
        count = Math.max(count, pause.seen());
        await assertTruths(world);
        await everyExpiry(world);
        await assertTruths(world);
      }
    },
  );

  it('that sleeps while another one runs to its end, at any operation', async () => {
    for (let number = 1, count = 1; number <= count; number += 1) {
      const world = await history(AT_ONCE);
      const pause = atOperation(number, async () => {
        world.advance(DAY_MS);
        await everyExpiry(world);
        await world.backup('incremental');
      });
      await world.expire(watched(world.store, pause.before)).catch(stoppedByOthers);
      count = Math.max(count, pause.seen());
      await expect(assertTruths(world)).resolves.toBeUndefined();
    }
  });

  it('that is killed at any operation loses nothing, and the next ones finish what it began', async () => {
    const whole = await history(AT_ONCE);
    await everyExpiry(whole);
    await whole.look();
    const left = kept(whole);
    for (let number = 1, count = 1; number <= count; number += 1) {
      const world = await history(AT_ONCE);
      let seen = 0;
      const dying = watched(world.store, async () => {
        seen += 1;
        if (seen >= number) throw new KeyframeError('ACCESS_DENIED', 'killed');
      });
      const killed = await world.expire(dying).then(
        () => false,
        () => true,
      );
      count = killed ? number + 1 : number;
      await assertTruths(world);
      await everyExpiry(world);
      await assertTruths(world);
      expect(kept(world)).toEqual(left);
    }
  });
});

const kept = (world: World): string[] => [...world.keys].filter((key) => /\/backups\/|\/wal\//u.test(key)).toSorted();

function stoppedByOthers(error: unknown): void {
  if (!hasCode(error, 'CONFLICT', 'LOCKED')) throw error;
}

it('a backup, two expiries and the clock, in any order of all their operations', async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), fc.boolean(), async (scheduler, full) => {
      let turn = async (_operation: string): Promise<void> => undefined;
      const world = await history(AT_ONCE, (store) => watched(store, (operation) => turn(`backup ${operation}`)));
      turn = (operation) => scheduler.schedule(Promise.resolve(), operation);
      const expiry = (name: string): Promise<unknown> =>
        world
          .expire(watched(world.store, (operation) => scheduler.schedule(Promise.resolve(), `${name} ${operation}`)))
          .catch(stoppedByOthers);
      const clock = async (): Promise<void> => {
        for (let each = 0; each < 6; each += 1) {
          await scheduler.schedule(Promise.resolve(), 'clock');
          world.advance(9 * HOUR_MS);
        }
      };
      const backup = world.backup(full ? 'full' : 'incremental').catch(refusedBegin);
      await scheduler.waitFor(Promise.all([backup, expiry('one'), expiry('two'), clock()]));
      turn = async () => undefined;
      await expect(assertTruths(world)).resolves.toBeUndefined();
      await everyExpiry(world);
      await assertTruths(world);
    }),
    { numRuns: 40 },
  );
});
