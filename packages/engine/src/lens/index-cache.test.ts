import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { lsn } from '@keyframe/contracts';
import type { Epoch, WalIndexRef } from '@keyframe/repository';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openIndexCache } from './index-cache.ts';

let state: string;
beforeEach(async () => {
  state = await mkdtemp(path.join(tmpdir(), 'kf-index-cache-'));
});
afterEach(() => rm(state, { recursive: true, force: true }));

const EPOCH: Epoch = { number: 1, systemIdentifier: '7', postgresVersion: 180_000, createdAt: '2026-01-01T00:00:00Z' };
const directory = (): string => path.join(state, 'index', 'r', 'main', '1');
const open = (largestBytes?: number) => openIndexCache(state, 'r', { cluster: 'main', epoch: EPOCH }, largestBytes);
const refOf = (number: number): WalIndexRef => ({
  key: `clusters/main/1/index/00000001/${number}-${number + 1}`,
  sizeBytes: 100,
  timeline: 1,
  startLsn: lsn(BigInt(number)),
  endLsn: lsn(BigInt(number + 1)),
});

it('gives back exactly the part that was kept, of an object of that size', async () => {
  const cache = open();
  await cache.set(refOf(1), 10, Uint8Array.of(1, 2, 3));
  expect(await cache.get(refOf(1), 10, 13)).toEqual(Buffer.of(1, 2, 3));
  expect(await cache.get(refOf(1), 10, 12)).toBeUndefined();
  expect(await cache.get({ ...refOf(1), sizeBytes: 99 }, 10, 13)).toBeUndefined();
  const [name = ''] = await readdir(directory());
  await writeFile(path.join(directory(), name), 'cut');
  expect(await cache.get(refOf(1), 10, 14)).toBeUndefined();
});

it('lets go of what was written first when it is full', async () => {
  const cache = open(350);
  for (const number of [1, 2, 3]) {
    await cache.set(refOf(number), 0, new Uint8Array(100));
    const names = await readdir(directory());
    const name = names.find((each) => each.startsWith(`00000001-${number}-`)) ?? '';
    await utimes(path.join(directory(), name), number, number);
  }
  await cache.set(refOf(4), 0, new Uint8Array(100));
  const kept = await Promise.all([1, 2, 3, 4].map((number) => cache.get(refOf(number), 0, 100)));
  expect(kept.map((each) => each !== undefined)).toEqual([false, true, true, true]);
});

it('forgets objects that are gone', async () => {
  const cache = open();
  for (const number of [1, 2]) await cache.set(refOf(number), 0, new Uint8Array(5));
  await writeFile(path.join(directory(), 'of-an-earlier-version'), '');
  await cache.prune([refOf(2)]);
  expect(await readdir(directory())).toHaveLength(1);
  expect(await cache.get(refOf(2), 0, 5)).toBeDefined();
});

it('is only slower where it cannot be written', async () => {
  await writeFile(path.join(state, 'index'), 'no directory');
  await expect(open().set(refOf(1), 0, new Uint8Array(5))).resolves.toBeUndefined();
  expect(await open().get(refOf(1), 0, 5)).toBeUndefined();
});
