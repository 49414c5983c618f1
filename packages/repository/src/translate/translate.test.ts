import type { Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { createMemoryStore, failing, faulty } from '@keyframe/testkit';
import { describe, expect, test } from 'vitest';
import { increment } from '../../test/increment.ts';
import {
  backUp,
  compressible,
  digestOf,
  HOLDER,
  keysOf,
  open,
  openArchive,
  restoreTree,
  SMALL,
  SYSTEM_IDENTIFIER,
  type Tree,
} from '../../test/support.ts';
import {
  encrypted,
  NEEDLE,
  bytesWith,
  readWal,
  reopen,
  SEGMENT,
  uncompressed,
  walFile,
} from '../encryption/encrypted.fixture.ts';
import { age, OFFICE, SAFE } from '../encryption/keys.fixture.ts';
import type { EpochArchive, RepositoryContext } from '../index.ts';
import { type TestMirror, testMirror } from '../mirror/mirrored-store.fixture.ts';
import { newSigningKey } from '../signing/keys.ts';
import { planTranslation, revealsContent, translate, type TranslationReport } from './translate.ts';

type More = Partial<RepositoryContext>;

let minutes = 0;
const now = (): Date => new Date(Date.UTC(2026, 10, 20, 3, (minutes += 1)));
const COMMON: More = { compressor: uncompressed, tuning: SMALL, now };
const SOURCE: More = { ...COMMON, ...encrypted(age([SAFE.recipient], SAFE.identity)) };
const PLAIN: More = COMMON;
const OTHER: More = { ...COMMON, ...encrypted(age([OFFICE.recipient], OFFICE.identity)) };

const WAL = Buffer.alloc(1 << 20, `${NEEDLE} `);
const HISTORY = { name: '00000002.history', content: Buffer.from('1\t0/3000000\tno recovery target specified\n') };

const PAGE = 8192;

/** A full backup and an increment that shares packs with it, with WAL of every kind. */
async function source(more: More = SOURCE) {
  const store = createMemoryStore();
  const archive = await openArchive(store, more);
  const big = Buffer.concat([Buffer.alloc(40 * PAGE, NEEDLE), compressible(60 * PAGE)]);
  const full: Tree = new Map<string, Uint8Array | string>([
    ['PG_VERSION', Buffer.from('18\n')],
    ['base/', ''],
    ['base/1247', compressible(80_000)],
    ['base/1249', Buffer.concat([Buffer.from(NEEDLE), compressible(90_000)])],
    ['base/1259', compressible(99_000)],
    ['base/empty', Buffer.alloc(0)],
    ['base/zeros', Buffer.alloc(300_000)],
    ['pg_tblspc/', ''],
    ['pg_tblspc/16400', '/srv/fast disk'],
    ['base/big', big],
  ]);
  const changed = Buffer.from(big);
  for (const page of [3, 40, 99]) compressible(PAGE).copy(changed, page * PAGE);
  const next: Tree = new Map([...full, ['base/big', changed], ['base/new', Buffer.from(NEEDLE)]]);
  const first = await backUp(archive, full);
  const second = await increment(archive, first, next, { views: true });
  await archive.wal.put(walFile(WAL));
  await archive.wal.put({
    name: HISTORY.name,
    content: bytesOf(HISTORY.content),
    facts: { systemIdentifier: SYSTEM_IDENTIFIER },
    adoption: 'copy 7',
  });
  return {
    store,
    archive,
    trees: new Map([
      [first.label, full],
      [second.label, next],
    ]),
    first,
    second,
  };
}

async function emptyTarget(more: More): Promise<Store> {
  const store = createMemoryStore();
  await open(store, more).init();
  return store;
}

/** Three empty stores that are one. */
async function severalStores(): Promise<TestMirror> {
  const mirror = await testMirror('abc');
  for (const each of Object.values(mirror.plain)) await each.delete(['keyframe.json']);
  return mirror;
}

async function copy(from: Store, to: Store, as: More, of: More = SOURCE, scope = {}): Promise<TranslationReport> {
  const places = { from: open(from, of), to: open(to, as) };
  const context = { ...places, holder: HOLDER, isHolderAlive: () => false, tool: 'keyframe 0.1.0' };
  return translate(context, await planTranslation(context, scope), {});
}

async function versionsIn(store: Store): Promise<Map<string, string | undefined>> {
  const versions = new Map<string, string | undefined>();
  for await (const { key, version } of store.list('clusters/')) versions.set(key, version);
  return versions;
}

/** Everything that is there proves itself, and comes back as it was. */
async function assertWhole(archive: EpochArchive, trees: ReadonlyMap<string, Tree>): Promise<void> {
  for await (const object of archive.checks.list()) await archive.checks.content(object);
  for (const [label, tree] of trees) {
    const record = await archive.backups.get(label);
    expect((await archive.checks.manifest(record, { deep: true })).faults).toEqual([]);
    expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(tree));
  }
  expect(await readWal(archive)).toEqual(WAL);
  expect(await readWal(archive, HISTORY.name)).toEqual(HISTORY.content);
  expect((await archive.wal.header(HISTORY.name))?.adoption).toBe('copy 7');
}

describe('a repository is brought into another', () => {
  test.each([
    ['with another key', SOURCE, OTHER],
    ['without encryption', SOURCE, PLAIN],
    ['from plain into an encrypted one', PLAIN, OTHER],
  ] as const)('%s: all of it comes back, and a second run copies nothing', async (_, of, as) => {
    const { store, trees } = await source(of);
    const to = await emptyTarget(as);
    const report = await copy(store, to, as, of);
    expect(report).toMatchObject({ backups: 2, walFiles: 2, present: 0 });
    const archive = await reopen(to, as);
    await assertWhole(archive, trees);
    const keys = await keysOf(to);
    expect(await copy(store, to, as, of)).toMatchObject({ copied: 0, backups: 0, present: 4 });
    expect((await keysOf(to)).filter((key) => !key.startsWith('leases/'))).toEqual(
      keys.filter((key) => !key.startsWith('leases/')),
    );
  });

  test('parts of the open segment come along, under its own keys', async () => {
    const { store, archive } = await source();
    const segment = '000000010000000000000004';
    const content = { ...bytesOf(WAL.subarray(0, 9000)), sizeBytes: 9000 };
    const facts = { systemIdentifier: SYSTEM_IDENTIFIER, timeline: 1, segmentSizeBytes: WAL.length };
    const name = await archive.wal.putPart({ segment, start: 0, content, facts });
    const to = await emptyTarget(OTHER);
    for (let run = 0; run < 2; run += 1) await copy(store, to, OTHER);
    const there = await reopen(to, OTHER);
    expect(await there.wal.streamedBytes(segment)).toBe(9000);
    expect(await readWal(there, name)).toEqual(WAL.subarray(0, 9000));
  });

  test('what opens the source opens nothing of the copy, and reads nothing in it', async () => {
    const { store, first } = await source();
    const to = await emptyTarget(OTHER);
    await copy(store, to, OTHER);
    expect(await bytesWith(to, NEEDLE)).toEqual([]);
    const wrong = await reopen(to, SOURCE);
    const record = await wrong.backups.get(first.label);
    await expect(wrong.backups.manifest(record)).rejects.toMatchObject({ code: 'KEY_WRONG' });
    await expect(readWal(wrong)).rejects.toMatchObject({ code: 'KEY_WRONG' });
  });

  test('goes on wherever it was killed, and writes nothing twice', async () => {
    const { store } = await source(PLAIN);
    const whole = await emptyTarget(PLAIN);
    await copy(store, whole, PLAIN, PLAIN);
    const written = (await keysOf(whole)).filter((key) => !/^(?:leases|keys|keyframe)/u.test(key));
    for (const key of written) {
      const to = await emptyTarget(PLAIN);
      const broken = faulty(to, failing('put', { key: new RegExp(`^${key}$`, 'u') }));
      await expect(copy(store, broken, PLAIN, PLAIN)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      const before = await versionsIn(to);
      await copy(store, to, PLAIN, PLAIN);
      const after = await versionsIn(to);
      for (const [each, version] of before) expect(after.get(each)).toBe(version);
      expect([...after.keys()].toSorted()).toEqual(written);
    }
  });

  test('goes on under new keys after the manifest was lost on its way', async () => {
    const { store, trees } = await source();
    const to = await emptyTarget(OTHER);
    const broken = faulty(to, failing('put', { key: /manifest$/u }));
    await expect(copy(store, broken, OTHER)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await copy(store, to, OTHER);
    await assertWhole(await reopen(to, OTHER), trees);
  });

  test('content is recognised there: a full backup of the same stores next to nothing', async () => {
    const { store, trees, first } = await source();
    const to = await emptyTarget(OTHER);
    await copy(store, to, OTHER);
    const archive = await reopen(to, OTHER);
    const tree = trees.get(first.label) ?? new Map();
    const record = await increment(archive, await archive.backups.get(first.label), tree, { type: 'full' });
    expect(record.reusedBytes).toBeGreaterThan(record.sizeBytes * 0.6);
    // An empty pack and two copies of the manifest.
    expect(record.packs).toBe(1);
    expect(record.storedBytes).toBeLessThan(record.manifest.sizeBytes * 2 + 1000);
    expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(tree));
  });

  test('one backup comes with every pack it needs, and later the rest follows', async () => {
    const { store, trees, first, second } = await source();
    const to = await emptyTarget(OTHER);
    const scope = {
      cluster: 'main',
      backup: { epoch: 1, label: second.label, packs: new Set<string>(), needs: (name: string) => name === SEGMENT },
    };
    await copy(store, to, OTHER, SOURCE, scope);
    const archive = await reopen(to, OTHER);
    expect((await archive.backups.list()).map(({ label }) => label)).toEqual([second.label]);
    expect(digestOf((await restoreTree(archive, await archive.backups.get(second.label))).tree)).toEqual(
      digestOf(trees.get(second.label) ?? new Map()),
    );
    expect(await archive.wal.has(HISTORY.name)).toBe(false);
    await copy(store, to, OTHER);
    expect((await archive.backups.list()).map(({ label }) => label)).toEqual([first.label, second.label]);
    await assertWhole(await reopen(to, OTHER), trees);
  });

  test('damage is never copied, and no backup appears', async () => {
    const { store, first } = await source();
    const pack = (await keysOf(store)).find((key) => key.includes(`${first.label}/pack-`)) ?? '';
    const bytes = Buffer.concat(await Array.fromAsync(await store.get(pack)));
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    await store.put(pack, bytesOf(bytes));
    const to = await emptyTarget(OTHER);
    await expect(copy(store, to, OTHER)).rejects.toMatchObject({ code: 'CORRUPT' });
    expect((await keysOf(to)).filter((key) => key.endsWith('backup.json') || key === pack)).toEqual([]);
  });

  test('is signed there by its own signer, after the signature at the source was believed', async () => {
    const [ours, theirs] = [newSigningKey(), newSigningKey()];
    const signed = (more: More, { pem, publicKey }: typeof ours): More => ({
      ...more,
      signing: { key: () => pem, trusted: [publicKey] },
    });
    const { store, archive, second } = await source(signed(SOURCE, ours));
    await archive.chain.checkpoint();
    const to = await emptyTarget(signed(OTHER, theirs));
    await copy(store, to, signed(OTHER, theirs), signed(SOURCE, ours));
    const target = await reopen(to, signed(OTHER, theirs));
    expect(await target.chain.signatureOf(second.label)).toMatchObject({ trust: 'trusted' });
    expect(await target.chain.audit()).toMatchObject({ faults: [], walFiles: 2 });
    const stranger = signed(SOURCE, theirs);
    await expect(copy(store, await emptyTarget(OTHER), OTHER, stranger)).rejects.toMatchObject({
      code: 'SIGNATURE_INVALID',
    });
  });

  test('what the target has of its own is told and left alone', async () => {
    const { store, first } = await source();
    const to = await emptyTarget(OTHER);
    const own = await open(to, OTHER)
      .cluster('main')
      .create({ systemIdentifier: SYSTEM_IDENTIFIER, postgresVersion: 180_006 });
    await own.wal.put(walFile(Buffer.alloc(1 << 20, 'another')));
    await expect(copy(store, to, OTHER)).rejects.toMatchObject({ code: 'CONFLICT' });
    expect((await own.backups.list()).length).toBe(0);
    const stranger = await emptyTarget(OTHER);
    await open(stranger, OTHER).cluster('main').create({ systemIdentifier: '7', postgresVersion: 180_006 });
    await expect(copy(store, stranger, OTHER)).rejects.toMatchObject({ code: 'CONFLICT' });
    const taken = await emptyTarget(OTHER);
    const archive = await open(taken, OTHER)
      .cluster('main')
      .create({ systemIdentifier: SYSTEM_IDENTIFIER, postgresVersion: 180_006 });
    const intent = `clusters/main/1/backups/${first.label}/intent`;
    await taken.put(intent, bytesOf(Buffer.concat(await Array.fromAsync(await store.get(intent)))));
    await expect(copy(store, taken, OTHER)).rejects.toMatchObject({ code: 'CONFLICT', details: { key: intent } });
    expect(await archive.backups.list()).toEqual([]);
  });

  test('from several stores, one of them damaged, to several: each of which then has all of it', async () => {
    const { store, trees } = await source();
    const sources = await severalStores();
    for (const each of Object.values(sources.plain))
      for (const key of await keysOf(store))
        await each.put(key, bytesOf(Buffer.concat(await Array.fromAsync(await store.get(key)))));
    for (const key of await keysOf(store)) {
      if (!/pack-|manifest$|\/wal\//u.test(key)) continue;
      const bytes = Buffer.concat(await Array.fromAsync(await store.get(key)));
      bytes.fill(0, bytes.length >> 1, (bytes.length >> 1) + 64);
      await sources.plain['a']?.put(key, bytesOf(bytes));
    }
    const targets = await severalStores();
    const to = targets.open();
    await open(to, OTHER).init();
    expect(await copy(sources.open(), to, OTHER)).toMatchObject({ backups: 2, present: 0 });
    await to.close?.();
    for (const each of Object.values(targets.plain)) await assertWhole(await reopen(each, OTHER), trees);
  });

  test('whether content would be revealed is known before', async () => {
    const { store } = await source();
    const from = open(store, SOURCE);
    expect(await revealsContent({ from, to: open(await emptyTarget(PLAIN), PLAIN) })).toBe(true);
    expect(await revealsContent({ from, to: open(await emptyTarget(OTHER), OTHER) })).toBe(false);
  });
});
