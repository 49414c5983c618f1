import { hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import { createMemoryStore, failing, faulty, losingAcknowledgement } from '@keyframe/testkit';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { HOLDER, keysOf, open } from '../test/support.ts';
import type { Lease, LeaseHolder, LeaseOptions } from './lease.ts';

const OTHER: LeaseHolder = { ...HOLDER, host: 'db2', bootId: 'boot-2', pid: 12 };
const TTL = 60_000;

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-11-20T03:00:00Z') });
});
afterEach(() => {
  vi.useRealTimers();
});

/** The store of a test, and takers of its lease. */
async function makeLeases(store: Store = createMemoryStore()) {
  const repository = open(store, { now: () => new Date() });
  await repository.init();
  const take = (holder: LeaseHolder, options: Partial<LeaseOptions> = {}): Promise<Lease> =>
    repository.lease('main/backup', holder, { ttlMs: TTL, ...options });
  return { store, take };
}

test('a lease that is held is refused, naming who holds it and what to do', async () => {
  const { take } = await makeLeases();
  await take(HOLDER);
  await expect(take(OTHER)).rejects.toMatchObject({
    code: 'LOCKED',
    message: '"keyframe backup" on db1 (process 4711) holds the lease main/backup since 2026-11-20T03:00:00.000Z',
    hint: expect.stringContaining('4711'),
  });
});

test('a lease that was given back is free', async () => {
  const { take } = await makeLeases();
  const lease = await take(HOLDER);
  await lease.release();
  await lease.release();
  expect((await take(OTHER)).holder).toEqual(OTHER);
});

test('a lease is renewed by itself and stays one object', async () => {
  const { store, take } = await makeLeases();
  const lease = await take(HOLDER);
  await vi.advanceTimersByTimeAsync(10 * TTL);
  expect(lease.lost.aborted).toBe(false);
  expect(await keysOf(store, 'leases/')).toEqual(['leases/main/backup/0000000031']);
  await expect(take(OTHER)).rejects.toMatchObject({ code: 'LOCKED' });
  await lease.release();
});

test('a lease of a host that went away is free after its time and the tolerated skew', async () => {
  const { take } = await makeLeases();
  await take(HOLDER);
  vi.clearAllTimers(); // the host is gone
  vi.setSystemTime(Date.now() + TTL + 29_000);
  await expect(take(OTHER)).rejects.toMatchObject({ code: 'LOCKED' });
  vi.setSystemTime(Date.now() + 2000);
  await take(OTHER);
});

test('a lease of a dead process of this boot is free at once, of a living one or another host it is not', async () => {
  const { take } = await makeLeases();
  await take(HOLDER);
  const next = { ...HOLDER, pid: 4712 };
  await expect(take(next, { isHolderAlive: () => true })).rejects.toMatchObject({ code: 'LOCKED' });
  await expect(take(next)).rejects.toMatchObject({ code: 'LOCKED' });
  for (const elsewhere of [OTHER, { ...next, bootId: 'boot-3' }, { ...next, host: 'container' }])
    await expect(take(elsewhere, { isHolderAlive: () => false })).rejects.toMatchObject({ code: 'LOCKED' });
  await take(next, { isHolderAlive: ({ pid }) => pid !== 4711 });
});

test('whoever lost the lease while asleep learns it at the next renewal', async () => {
  const { take } = await makeLeases();
  const sleeper = await take(HOLDER);
  vi.setSystemTime(Date.now() + 2 * TTL);
  const taker = await take(OTHER);
  await expect(sleeper.renew()).rejects.toMatchObject({ code: 'LOCKED', details: { host: 'db2' } });
  expect(sleeper.lost.aborted).toBe(true);
  await expect(sleeper.renew()).rejects.toMatchObject({ code: 'LOCKED' });
  await sleeper.release(); // must not touch the other's
  await taker.renew();
});

test('a number that was taken, passed and removed does not give the lease', async () => {
  const { store, take } = await makeLeases();
  const first = await take(HOLDER);
  await first.release();
  // Between listing and creating, another process takes the lease and renews it, so that our number is free again.
  let interfere = true;
  const racing: Store = {
    ...store,
    put: async (...args) => {
      if (interfere && args[0].startsWith('leases/')) {
        interfere = false;
        const other = await take(OTHER);
        await other.renew();
      }
      return store.put(...args);
    },
  };
  const { take: takeSlowly } = await makeLeases(racing);
  await expect(takeSlowly(HOLDER)).rejects.toMatchObject({ code: 'LOCKED', details: { host: 'db2' } });
  expect(await keysOf(store, 'leases/')).toHaveLength(1);
});

test('of many who take it at once one has it', async () => {
  const { take } = await makeLeases();
  const takers = Array.from({ length: 20 }, (_, pid) => take({ ...OTHER, pid }));
  const outcomes = await Promise.allSettled(takers);
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected' && hasCode(outcome.reason, 'LOCKED'));
  expect(refused).toHaveLength(19);
});

test('one failed renewal is survived; past its time the lease is lost', async () => {
  const { store } = await makeLeases();
  let down = false;
  const flaky: Store = {
    ...store,
    put: async (...args) => {
      if (down) throw new KeyframeError('UNAVAILABLE', 'down');
      return store.put(...args);
    },
  };
  const { take } = await makeLeases(flaky);
  const lease = await take(HOLDER);
  down = true;
  await vi.advanceTimersByTimeAsync(TTL / 2);
  expect(lease.lost.aborted).toBe(false);
  down = false;
  await vi.advanceTimersByTimeAsync(TTL / 2);
  down = true;
  await vi.advanceTimersByTimeAsync(TTL / 2);
  expect(lease.lost.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(TTL);
  expect(lease.lost.aborted).toBe(true);
});

test('a renewal that hangs does not hide that the lease is lost', async () => {
  const { store } = await makeLeases();
  let hung = false;
  const hanging: Store = {
    ...store,
    put: async (...args) => (hung ? new Promise<never>(() => undefined) : store.put(...args)),
  };
  const { take } = await makeLeases(hanging);
  const lease = await take(HOLDER);
  hung = true;
  await vi.advanceTimersByTimeAsync(TTL - 1);
  expect(lease.lost.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(lease.lost.reason).toMatchObject({ code: 'LOCKED' });
});

test('a lost acknowledgement does not lose the lease', async () => {
  const { store } = await makeLeases();
  const { take } = await makeLeases(faulty(store, losingAcknowledgement({ key: /leases/u, nth: 2, times: 1 })));
  const lease = await take(HOLDER);
  await expect(lease.renew()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await lease.renew();
  expect(lease.lost.aborted).toBe(false);
});

test('a store that deletes nothing serves as well', async () => {
  const error = new KeyframeError('ACCESS_DENIED', 'locked');
  const { take } = await makeLeases(faulty(createMemoryStore(), failing('delete', { error })));
  const lease = await take(HOLDER);
  await lease.renew();
  await lease.release();
  expect((await take(OTHER)).holder).toEqual(OTHER);
});

test('a damaged lease is CORRUPT, not free', async () => {
  const { store, take } = await makeLeases();
  await take(HOLDER);
  await store.put('leases/main/backup/0000000001', {
    sizeBytes: 2,
    open: async function* () {
      yield Buffer.from('{}');
    },
  });
  await expect(take(OTHER)).rejects.toMatchObject({ code: 'CORRUPT' });
});

test.each(['', '/x', '../x', 'A', 'a//b'])('the lease name %j is refused', async (name) => {
  const repository = open(createMemoryStore());
  await expect(repository.lease(name, HOLDER, { ttlMs: 1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
});

test('in a store that ignores conditions the last of two that take it at once has it', async () => {
  const memory = createMemoryStore({ capabilities: { conditionalPut: false } });
  const { take } = await makeLeases(memory);
  // Both have looked before either has written: the slower one replaces what the other wrote.
  const waiting: (() => void)[] = [];
  const put: Store['put'] = memory.put.bind(memory);
  let puts = 0;
  memory.put = async (key, source, options) => {
    if (!key.startsWith('leases/')) return put(key, source, options);
    puts += 1;
    if (puts === 1) await new Promise<void>((resolve) => waiting.push(resolve));
    const info = await put(key, source, options);
    for (const go of waiting.splice(0)) go();
    if (puts === 2) await vi.advanceTimersByTimeAsync(1);
    return info;
  };
  const taken = await Promise.allSettled([take(HOLDER), take(OTHER)]);
  expect(taken.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});
