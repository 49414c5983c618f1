import type { ObjectInfo, Store } from '@keyframe/contracts';
import { createMemoryStore, failing, faulty } from '@keyframe/testkit';
import { beforeEach, expect, test } from 'vitest';
import {
  backUp,
  compressible,
  INTENT,
  keysOf,
  openArchive,
  SMALL,
  type Tree,
  writeTree,
  FACTS,
} from '../../test/support.ts';
import type { EpochArchive } from '../cluster.ts';
import type { Tombstone } from './tombstone.ts';
import { Tombstones } from './tombstones.ts';

const TREE: Tree = new Map([['base/1', compressible(1_300_000)]]);
const AT = '2026-11-20T03:00:00.000Z';
const LABEL = '20261120T030000Z-full';

let store = createMemoryStore();
let archive: EpochArchive;
let tombstones: Tombstones;

beforeEach(async () => {
  store = createMemoryStore();
  archive = await openArchive(store, { tuning: SMALL });
  tombstones = new Tombstones(store, 'main');
});

const mark = (label: string, more: Partial<Tombstone> = {}): Tombstone => ({
  epoch: 1,
  label,
  kind: 'backup',
  packs: [1, 2],
  phase: 'marked',
  markedAt: AT,
  since: 1,
  reason: 'test',
  ...more,
});

async function write(...backups: readonly Tombstone[]): Promise<void> {
  const { number } = await tombstones.read();
  expect(await tombstones.follow(number, { backups, wal: [] })).toBe(true);
}

test('the state that was written is the state that is read', async () => {
  const entry = mark(LABEL, { packs: [1, 2, 3, 7, 12, 13], phase: 'removing', token: 'x' });
  const wal = { epoch: 1, timeline: 2, first: 7, last: 9, markedAt: AT, since: 1 };
  expect(await tombstones.read()).toEqual({ number: 0, state: { backups: [], wal: [] } });
  expect(await tombstones.follow(0, { backups: [entry], wal: [wal] })).toBe(true);
  expect(await tombstones.read()).toEqual({ number: 1, state: { backups: [entry], wal: [wal] } });
});

test('of two who change the same state one is refused, even with equal words', async () => {
  const state = { backups: [mark(LABEL)], wal: [] };
  expect(await tombstones.follow(0, state)).toBe(true);
  expect(await tombstones.follow(0, state)).toBe(false);
  expect(await tombstones.follow(1, state)).toBe(true);
});

test('an expired backup is not listed, and is again when its tombstone is gone', async () => {
  const record = await backUp(archive, TREE);
  await write(mark(record.label));
  expect(await archive.backups.list()).toEqual([]);
  await expect(archive.backups.get(record.label)).rejects.toMatchObject({
    code: 'BACKUP_NOT_FOUND',
    hint: expect.stringContaining('undelete'),
  });
  await write();
  expect(await archive.backups.list()).toEqual([record]);
});

test.each([
  ['marked', true],
  ['deciding', true],
  ['removing', false],
  ['fenced', false],
] as const)(
  'what was taken for an unfinished backup and is %s counts when it is published: %s',
  async (phase, counts) => {
    const record = await backUp(archive, TREE);
    await write(mark(record.label, { kind: 'unfinished', phase }));
    expect(await archive.backups.list()).toEqual(counts ? [record] : []);
  },
);

test('packs that go alone hide no backup', async () => {
  const record = await backUp(archive, TREE);
  await write(mark(record.label, { kind: 'packs', phase: 'removing' }));
  expect(await archive.backups.list()).toEqual([record]);
});

test('damaged tombstones stop no backup and hide none', async () => {
  const record = await backUp(archive, TREE);
  await write(mark(record.label));
  await store.put('clusters/main/tombstones/0000000001', {
    sizeBytes: 3,
    open: async function* () {
      yield Buffer.from('xyz');
    },
  });
  await expect(tombstones.read()).rejects.toMatchObject({ code: 'CORRUPT' });
  expect(await archive.backups.list()).toEqual([record]);
  await backUp(archive, TREE);
});

test('a backup is not begun on an expired one, and leaves no intent', async () => {
  const { label } = await backUp(archive, TREE);
  await write(mark(label));
  const before = await keysOf(store);
  await expect(archive.backups.begin({ ...INTENT, type: 'incremental', parent: label })).rejects.toMatchObject({
    code: 'CONFLICT',
  });
  expect(await keysOf(store)).toEqual(before);
});

test('a backup that was given up and removed while it slept does not publish', async () => {
  const writer = await archive.backups.begin(INTENT);
  await writeTree(writer, TREE);
  const prepared = await writer.finish(FACTS);
  await write(mark(writer.label, { kind: 'unfinished' }));
  // Only marked: it woke up in time.
  await write(mark(writer.label, { kind: 'unfinished', phase: 'removing', token: 'x' }));
  await expect(writer.publish(prepared)).rejects.toMatchObject({ code: 'CONFLICT' });
  expect(await archive.backups.list()).toEqual([]);
});

test('a mark alone does not keep a late backup from counting', async () => {
  const writer = await archive.backups.begin(INTENT);
  await writeTree(writer, TREE);
  await write(mark(writer.label, { kind: 'unfinished' }));
  const record = await writer.publish(await writer.finish(FACTS));
  expect(await archive.backups.list()).toEqual([record]);
});

test('what is decided between the two looks of a publication is withdrawn', async () => {
  const writer = await archive.backups.begin(INTENT);
  await writeTree(writer, TREE);
  const prepared = await writer.finish(FACTS);
  const put = store.put.bind(store);
  store.put = async (key, source, options) => {
    if (key.endsWith('backup.json')) await write(mark(writer.label, { kind: 'unfinished', phase: 'removing' }));
    return put(key, source, options);
  };
  await expect(writer.publish(prepared)).rejects.toMatchObject({ code: 'CONFLICT' });
  expect((await keysOf(store)).filter((key) => key.endsWith('backup.json'))).toEqual([]);
});

test('superseded tombstones go, but the last ones and those whose age is still asked for', async () => {
  await write(mark('20260101T000000Z-full', { since: 1 }));
  for (let number = 2; number <= 30; number += 1)
    await write(mark('20260101T000000Z-full', { since: 1 }), mark(LABEL, { since: 7 }));
  await tombstones.trim();
  const numbers = (await keysOf(store))
    .filter((key) => key.includes('tombstones'))
    .map((key) => Number(key.slice(-10)));
  expect(numbers).toEqual([1, 7, ...Array.from({ length: 16 }, (_, index) => 15 + index)]);
  expect(await tombstones.writtenAt(7)).toBeInstanceOf(Date);
  expect((await tombstones.read()).number).toBe(30);
  // A writer that slept since number 3 creates what was trimmed, and is refused all the same.
  expect(await tombstones.follow(3, { backups: [], wal: [] })).toBe(false);
  expect((await tombstones.read()).number).toBe(30);
  await tombstones.trim();
  expect(await keysOf(store)).not.toContain('clusters/main/tombstones/0000000004');
});

test('who listed a tombstone that is trimmed before it is read reads the one that followed', async () => {
  for (let number = 1; number <= 20; number += 1) await write(mark(LABEL, { since: number }));
  let late = true;
  const sleepy: Store = {
    ...store,
    get: async (key, options) => {
      if (late && key.endsWith('/0000000020')) {
        late = false;
        for (let number = 21; number <= 45; number += 1) await write(mark(LABEL, { since: number }));
        await tombstones.trim();
      }
      return store.get(key, options);
    },
  };
  expect((await new Tombstones(sleepy, 'main').read()).number).toBe(45);
  await store.delete(['clusters/main/tombstones/0000000045']);
  const gone = { ...store, list: () => listedOnly('clusters/main/tombstones/0000000045') };
  await expect(new Tombstones(gone, 'main').read()).rejects.toMatchObject({ code: 'CORRUPT' });
});

test('what cannot be removed stays, and is no fault', async () => {
  for (let number = 1; number <= 20; number += 1) await write(mark(LABEL, { since: number }));
  await new Tombstones(faulty(store, failing('delete', { key: /tombstones/ })), 'main').trim();
  expect((await tombstones.read()).number).toBe(20);
});

async function* listedOnly(key: string): AsyncGenerator<ObjectInfo> {
  yield { key, sizeBytes: 1, modifiedAt: new Date() };
}
