import { bytesOf } from '@keyframe/contracts/streams';
import { createMemoryStore, failing, faulty, flippedBit } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import { open, SYSTEM_IDENTIFIER } from '../test/support.ts';
import { sealJson } from './format/sealed-json.ts';

const EPOCH = { systemIdentifier: SYSTEM_IDENTIFIER, postgresVersion: 180_006 };

test('opening does nothing; an empty store is no repository', async () => {
  const repository = open(faulty(createMemoryStore(), failing('get', { nth: 2 })));
  await expect(repository.identity()).rejects.toMatchObject({ code: 'REPOSITORY_MISSING' });
});

test('init makes one identity, however often and by whomever it is run', async () => {
  const store = createMemoryStore();
  const all = await Promise.all(Array.from({ length: 5 }, () => open(store).init()));
  expect(new Set(all.map(({ id }) => id)).size).toBe(1);
  expect(await open(store).identity()).toEqual(all[0]);
  expect(all[0]).toMatchObject({ format: 1, createdAt: '2026-11-20T03:00:00.000Z', frameBytes: 262_144 });
});

test('init does not give clusters that are there another identity', async () => {
  const store = createMemoryStore();
  await open(store).init();
  await open(store).cluster('main').create(EPOCH);
  await store.delete(['keyframe.json']);
  await expect(open(store).init()).rejects.toMatchObject({ code: 'CORRUPT' });
});

test('a newer format is refused, and unknown members are not', async () => {
  const parameters = { frameBytes: 262_144, walFrameBytes: 1_048_576, chunking: 'new' };
  const store = createMemoryStore();
  await store.put(
    'keyframe.json',
    bytesOf(sealJson({ id: 'x', createdAt: 'y', parameters, encryption: { slots: 1 } })),
  );
  expect(await open(store).identity()).toMatchObject({ id: 'x', frameBytes: 262_144 });
  await store.put('keyframe.json', bytesOf(sealJson({ format: 2, whatever: true })));
  const repository = open(store);
  await expect(repository.identity()).rejects.toMatchObject({ code: 'REPOSITORY_FORMAT' });
  await expect(repository.cluster('main').create(EPOCH)).rejects.toMatchObject({ code: 'REPOSITORY_FORMAT' });
});

test('a damaged identity is CORRUPT', async () => {
  const store = createMemoryStore();
  await open(store).init();
  const damaged = open(faulty(store, flippedBit(30)));
  await expect(damaged.identity()).rejects.toMatchObject({ code: 'CORRUPT', details: { key: 'keyframe.json' } });
});

test.each(['', 'Main', '-x', 'a/b', 'a'.repeat(64), 'ä'])('the cluster name %j is refused', (name) => {
  expect(() => open(createMemoryStore()).cluster(name)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
});

test('an epoch is made once per system identifier', async () => {
  const store = createMemoryStore();
  const repository = open(store);
  await repository.init();
  const cluster = repository.cluster('main');
  expect(await cluster.newest()).toBeUndefined();
  await expect(cluster.find(SYSTEM_IDENTIFIER)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  const made = await Promise.all(Array.from({ length: 5 }, () => open(store).cluster('main').create(EPOCH)));
  expect(made.map(({ epoch }) => epoch.number)).toEqual([1, 1, 1, 1, 1]);
  await expect(cluster.create({ systemIdentifier: '99', postgresVersion: 190_000 })).rejects.toMatchObject({
    code: 'WRONG_CLUSTER',
  });
  await store.put('clusters/main/epochs/1.json~', bytesOf(Buffer.from('an editor was here')));
  const upgraded = await cluster.create({ systemIdentifier: '99', postgresVersion: 190_000 }, { next: true });
  expect(upgraded.epoch.number).toBe(2);
  expect((await cluster.newest())?.epoch).toEqual(upgraded.epoch);
  expect((await cluster.find(SYSTEM_IDENTIFIER)).epoch.number).toBe(1);
  expect((await cluster.at(2)).epoch).toEqual(upgraded.epoch);
  expect((await cluster.epochs()).map(({ number }) => number)).toEqual([1, 2]);
  await expect(cluster.at(3)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await expect(cluster.find('1')).rejects.toMatchObject({ code: 'WRONG_CLUSTER' });
});

test('the clusters are the ones that have an epoch', async () => {
  const repository = open(createMemoryStore());
  await repository.init();
  for (const name of ['main', 'billing', 'a-b_c']) await repository.cluster(name).create(EPOCH);
  expect(await repository.clusters()).toEqual(['a-b_c', 'billing', 'main']);
});

test('a key that is no object of ours cannot be checked', async () => {
  const repository = open(createMemoryStore());
  await expect(repository.check('readme.txt')).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  await expect(repository.check('clusters/main/1/backups/x/pack-00001')).rejects.toMatchObject({ code: 'NOT_FOUND' });
});
