import { bytesOf } from '@keyframe/contracts/streams';
import { hasCode, segmentName, type Store } from '@keyframe/contracts';
import { contentOf, createMemoryStore } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import { backUp, compressible, openArchive, SMALL, SYSTEM_IDENTIFIER } from '../../test/support.ts';
import type { EpochArchive } from '../index.ts';
import type { ListedObject } from './checks.ts';

const SEGMENT = 1 << 20;
/** Other bytes each time. */
const tree = () =>
  new Map([
    ['PG_VERSION', Buffer.from('18\n')],
    ['base/1/16384', compressible(900_000)],
    ['base/1/16385', compressible(400_000)],
  ]);

async function makeRepository() {
  const store = createMemoryStore();
  const archive = await openArchive(store, { tuning: SMALL });
  const record = await backUp(archive, tree());
  const name = segmentName(1, 3n, SEGMENT);
  const facts = { systemIdentifier: SYSTEM_IDENTIFIER, timeline: 1, segmentSizeBytes: SEGMENT };
  await archive.wal.put({ name, content: bytesOf(compressible(SEGMENT)), facts });
  return { store, archive, record };
}

async function objectsOf(archive: EpochArchive): Promise<ListedObject[]> {
  const objects: ListedObject[] = [];
  for await (const each of archive.checks.list()) objects.push(each);
  return objects;
}

async function flip(store: Store, key: string, at: number): Promise<() => Promise<unknown>> {
  const bytes = (await contentOf(store, key)) ?? Buffer.alloc(0);
  const changed = Buffer.from(bytes);
  const place = at < 0 ? bytes.length + at : at;
  changed.writeUInt8(changed.readUInt8(place) ^ 16, place);
  await store.put(key, bytesOf(changed));
  return () => store.put(key, bytesOf(bytes));
}

const outcome = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'right',
    (error: unknown) => {
      if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
      return error.code;
    },
  );

test('every object of an epoch is listed by its kind', async () => {
  const { archive, record } = await makeRepository();
  const kinds = (await objectsOf(archive)).map(({ kind, name }) => `${kind} ${name}`);
  expect(new Set(kinds)).toEqual(
    new Set([
      ...['pack', 'manifest', 'record', 'intent'].map((kind) => `${kind} ${record.label}`),
      `wal ${segmentName(1, 3n, SEGMENT)}`,
    ]),
  );
});

test('what is whole is right at every level, with one root', async () => {
  const { archive } = await makeRepository();
  for (const object of await objectsOf(archive)) {
    const proofs = [
      await archive.checks.root(object),
      await archive.checks.outline(object),
      await archive.checks.content(object),
    ];
    expect({ object, roots: new Set(proofs.map(({ root }) => root)).size }).toEqual({ object, roots: 1 });
    expect(proofs[0]?.readBytes).toBeLessThanOrEqual(proofs[2]?.readBytes ?? 0);
  }
});

test('a flip in the header, the frame table or the footer is found by the outline, one in a frame by the content', async () => {
  const { store, archive } = await makeRepository();
  for (const object of (await objectsOf(archive)).filter(({ kind }) => kind === 'pack' || kind === 'wal')) {
    for (const [at, found] of [
      [3, ['outline', 'content']],
      [40, ['outline', 'content']],
      [object.sizeBytes >> 1, ['content']],
      [-1, ['root', 'outline', 'content']],
    ] as const) {
      const undo = await flip(store, object.key, at);
      const levels = ['root', 'outline', 'content'] as const;
      const seen: string[] = [];
      for (const level of levels) if ((await outcome(archive.checks[level](object))) !== 'right') seen.push(level);
      expect({ key: object.key, at, seen }).toEqual({ key: object.key, at, seen: [...found] });
      await undo();
    }
  }
});

test('an object of another size, of another place, or gone since it was listed is a damaged object', async () => {
  const { store, archive } = await makeRepository();
  const packs = (await objectsOf(archive)).filter(({ kind }) => kind === 'pack');
  const [first, second] = packs;
  if (first === undefined || second === undefined) throw new Error('too few packs');
  expect(await outcome(archive.checks.root({ ...first, sizeBytes: first.sizeBytes - 1 }))).toBe('CORRUPT');
  await store.put(first.key, bytesOf((await contentOf(store, second.key)) ?? Buffer.alloc(0)));
  const swapped = { ...first, sizeBytes: second.sizeBytes };
  expect(await outcome(archive.checks.root(swapped))).toBe('right');
  expect(await outcome(archive.checks.outline(swapped))).toBe('CORRUPT');
  await store.delete([first.key]);
  expect(await outcome(archive.checks.outline(first))).toBe('CORRUPT');
});

test('a whole manifest names its packs with what proves them', async () => {
  const { archive, record } = await makeRepository();
  const { packs = [], faults, isLost } = await archive.checks.manifest(record, { deep: true });
  expect({ faults, isLost, packs: packs.length }).toEqual({ faults: [], isLost: false, packs: record.packs });
  const objects = await objectsOf(archive);
  for (const pack of packs) {
    const object = objects.find(({ key }) => key === pack.key);
    if (object === undefined) throw new Error(`${pack.key} is not listed`);
    const { table } = await archive.checks.outline(object);
    const { tableOffset, frames, tableSha256 } = pack;
    expect(table).toEqual({ tableOffset, frames, tableSha256 });
  }
});

test('damage of either copy of a manifest is told, and of both that the backup is lost', async () => {
  const { store, archive, record } = await makeRepository();
  const { key, copy, sizeBytes } = record.manifest;
  const undo = await flip(store, key, sizeBytes - 10);
  const first = await archive.checks.manifest(record);
  expect({ keys: first.faults.map((each) => each.key), isLost: first.isLost }).toEqual({ keys: [key], isLost: false });
  await flip(store, copy.key, copy.offset + sizeBytes - 10);
  const both = await archive.checks.manifest(record);
  expect({ keys: both.faults.map((each) => each.key), isLost: both.isLost }).toEqual({
    keys: [key, copy.key],
    isLost: true,
  });
  await undo();
  const second = await archive.checks.manifest(record);
  expect({ keys: second.faults.map((each) => each.key), isLost: second.isLost }).toEqual({
    keys: [copy.key],
    isLost: false,
  });
});

test('a manifest whose frames are not those of its packs is lost, though each by itself is whole', async () => {
  const { store, archive, record } = await makeRepository();
  const other = await makeRepository();
  // The other backup's packs under this one's names: whole containers with other frames.
  for (let number = 1; number <= record.packs; number += 1) {
    const name = `clusters/main/1/backups/${record.label}/pack-${String(number).padStart(5, '0')}`;
    const bytes = await contentOf(other.store, name);
    if (bytes !== undefined) await store.put(name, bytesOf(bytes));
  }
  const { isLost, faults } = await archive.checks.manifest(record, { deep: true });
  expect({ isLost, last: faults.at(-1)?.error.message }).toEqual({
    isLost: true,
    last: expect.stringContaining('is another one there'),
  });
});
