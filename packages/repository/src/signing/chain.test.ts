import { bytesOf } from '@keyframe/contracts/streams';
import { type ByteSource, segmentName, type Store } from '@keyframe/contracts';
import { contentOf, createMemoryStore } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import { backUp, keysOf, open, openArchive, SYSTEM_IDENTIFIER } from '../../test/support.ts';
import { openSealedJson, sealJson } from '../format/sealed-json.ts';
import type { ChainHead, EpochArchive, HeadMemory, SigningContext } from '../index.ts';
import { newSigningKey, signerOf } from './keys.ts';
import { signatureLine } from './signature-line.ts';

const SEGMENT = 1 << 20;
const ours = newSigningKey();
const theirs = newSigningKey();
const TREE = new Map([['PG_VERSION', Buffer.from('18\n')]]);

/** Clocks of backups that follow each other. */
let minutes = 0;
const now = (): Date => new Date(Date.UTC(2026, 10, 20, 3, (minutes += 1)));

function rememberingHeads(): HeadMemory & { readonly heads: Map<string, ChainHead> } {
  const heads = new Map<string, ChainHead>();
  return { heads, get: async (chain) => heads.get(chain), set: async (chain, head) => void heads.set(chain, head) };
}

const signing = (heads: HeadMemory | undefined = rememberingHeads(), { pem } = ours): SigningContext => ({
  key: () => pem,
  trusted: [ours.publicKey],
  heads,
});

function pushSegment(archive: EpochArchive, number: number, timeline = 1): Promise<string> {
  const content = Buffer.alloc(SEGMENT, `segment ${number} of ${timeline}`);
  const facts = { systemIdentifier: SYSTEM_IDENTIFIER, timeline, segmentSizeBytes: SEGMENT };
  const name = segmentName(timeline, BigInt(number), SEGMENT);
  return archive.wal.put({ name, content: bytesOf(content), facts });
}

/** Two signed backups with WAL before, between and after them. */
async function signedHistory(heads: HeadMemory | undefined = rememberingHeads()) {
  const store = createMemoryStore();
  const archive = await openArchive(store, { signing: signing(heads), now });
  const labels: string[] = [];
  for (const from of [1, 4]) {
    for (const number of [from, from + 1, from + 2]) await pushSegment(archive, number);
    labels.push((await backUp(archive, TREE)).label);
    await archive.chain.checkpoint();
  }
  await pushSegment(archive, 7);
  return { store, archive, labels };
}

async function copyOf(store: Store): Promise<Store> {
  const copy = createMemoryStore();
  for (const key of await keysOf(store)) await copy.put(key, await sourceOf(store, key));
  return copy;
}

async function sourceOf(store: Store, key: string): Promise<ByteSource> {
  return bytesOf((await contentOf(store, key)) ?? Buffer.alloc(0));
}

async function archiveIn(store: Store, context: SigningContext = signing()): Promise<EpochArchive> {
  return open(store, { signing: context, now }).cluster('main').at(1);
}

const entry = (number: number): string => `clusters/main/1/chain/${String(number).padStart(10, '0')}`;
const kindsIn = async (store: Store, context?: SigningContext) =>
  (await (await archiveIn(store, context)).chain.audit()).faults.map(({ kind, key }) => `${kind} ${key}`);

test('a whole chain vouches for every backup and all WAL up to the last checkpoint', async () => {
  const { archive, labels } = await signedHistory();
  const audit = await archive.chain.audit();
  expect(audit).toMatchObject({ faults: [], entries: 2, walFiles: 6, head: { number: 2 } });
  expect([...audit.backups.keys()]).toEqual(labels);
  expect([...audit.walNames()]).toEqual([1, 2, 3, 4, 5, 6].map((each) => segmentName(1, BigInt(each), SEGMENT)));
  const name = segmentName(1, 5n, SEGMENT);
  expect(audit.walIdentity(name)).toBe((await archive.wal.header(name))?.identity);
  expect(audit.walIdentity(segmentName(1, 7n, SEGMENT))).toBeUndefined();
});

test('a checkpoint with nothing new to say adds no entry', async () => {
  const { archive } = await signedHistory();
  await archive.chain.checkpoint();
  expect(await archive.chain.checkpoint()).toMatchObject({ number: 3 });
  expect((await archive.chain.audit()).entries).toBe(3);
});

test('what an expiry removed is vouched for no more', async () => {
  const { archive, labels } = await signedHistory();
  const [first = '', ...others] = [1n, 2n, 3n].map((number) => segmentName(1, number, SEGMENT));
  await archive.chain.expire({ backups: labels.slice(0, 1), wal: [first, ...others, '00000002.history'] });
  const audit = await archive.chain.audit();
  expect({ faults: audit.faults, backups: [...audit.backups.keys()], walFiles: audit.walFiles }).toEqual({
    faults: [],
    backups: labels.slice(1),
    walFiles: 3,
  });
  expect(audit.walIdentity(first)).toBeUndefined();
});

test('a removal is signed before its first object goes, and nothing is removed when it cannot be', async () => {
  const heads = rememberingHeads();
  const { store, labels } = await signedHistory(heads);
  const history = open(store, { signing: signing(heads), now }).cluster('main');
  const removal = {
    labels: [{ epoch: 1, label: labels[0] ?? '' }],
    packs: [],
    wal: [{ epoch: 1, name: segmentName(1, 1n, SEGMENT) }],
  };
  await (await history.retention()).remove(removal);
  const { faults, entries, backups, walFiles } = await (await history.at(1)).chain.audit();
  expect({ faults, entries, backups: [...backups.keys()], walFiles }).toEqual({
    faults: [],
    entries: 3,
    backups: labels.slice(1),
    walFiles: 5,
  });
  await store.delete([entry(3)]);
  const before = await keysOf(store);
  const other = { ...removal, labels: [{ epoch: 1, label: labels[1] ?? '' }] };
  await expect((await history.retention()).remove(other)).rejects.toMatchObject({ code: 'CHAIN_BROKEN' });
  expect(await keysOf(store)).toEqual(before);
});

test('a record that is rebuilt is signed as it was', async () => {
  const { store, labels } = await signedHistory();
  const key = `clusters/main/1/backups/${labels[0]}/backup.json`;
  const before = await contentOf(store, key);
  await store.delete([key]);
  const retention = await open(store, { signing: signing(), now }).cluster('main').retention();
  for (const lost of await retention.rebuild.find()) await retention.rebuild.bringBack(lost);
  expect((await contentOf(store, key))?.toString()).toBe(before?.toString());
});

test('without a signing key nothing is signed, and everything goes on as ever', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { now });
  const record = await backUp(archive, TREE);
  const { label } = record;
  expect(await archive.chain.checkpoint()).toBeUndefined();
  expect(await archive.chain.expire({ backups: [label], wal: [] })).toBeUndefined();
  await archive.chain.assertTrusted(record);
  expect((await keysOf(store)).filter((key) => /signers|chain/u.test(key))).toEqual([]);
  expect(await archive.chain.signatureOf(label)).toMatchObject({ trust: 'unsigned' });
});

test('a backup from before the repository was signed is believed once a checkpoint vouches for it', async () => {
  const store = createMemoryStore();
  const record = await backUp(await openArchive(store, { now }), TREE);
  const archive = await archiveIn(store);
  await expect(archive.chain.assertTrusted(record)).rejects.toMatchObject({
    code: 'SIGNATURE_INVALID',
    hint: expect.stringContaining('keyframe backup'),
  });
  await archive.chain.checkpoint();
  await archive.chain.assertTrusted(record);
});

test('two writers at once get two places in one chain', async () => {
  const { store } = await signedHistory();
  const [one, other] = [await archiveIn(store), await archiveIn(store)];
  await Promise.all(
    [one, other].flatMap(({ chain }) => [chain, chain].map((each) => each.expire({ backups: [], wal: [] }))),
  );
  expect(await (await archiveIn(store)).chain.audit()).toMatchObject({ entries: 6, faults: [] });
});

test('a writer that was introduced by a trusted one is trusted', async () => {
  const { store } = await signedHistory();
  await open(store, { signing: signing(), now }).signers.introduce(theirs.publicKey, 'db2');
  const second = await archiveIn(store, { key: () => theirs.pem, trusted: [ours.publicKey] });
  const { label } = await backUp(second, TREE);
  await second.chain.checkpoint();
  const reader = await archiveIn(store, { trusted: [ours.publicKey] });
  expect(await reader.chain.signatureOf(label)).toMatchObject({ trust: 'trusted' });
  expect(await reader.chain.audit()).toMatchObject({ entries: 3, faults: [] });
});

test('without public keys in the configuration signers are believed as the repository names them', async () => {
  const { store, labels } = await signedHistory();
  const { chain, backups } = await archiveIn(store, { trusted: [] });
  expect(await chain.signatureOf(labels[0] ?? '')).toMatchObject({ trust: 'first-use' });
  expect(await chain.audit()).toMatchObject({ faults: [], entries: 2 });
  await chain.assertTrusted(await backups.get(labels[0] ?? ''));
});

test('attack: a dropped entry of the chain is named', async () => {
  const { store } = await signedHistory();
  await store.delete([entry(1)]);
  expect(await kindsIn(store)).toEqual([`missing ${entry(1)}`]);
});

test('attack: entries that were put in each other’s place are named', async () => {
  const { store } = await signedHistory();
  const [one, two] = [await sourceOf(store, entry(1)), await sourceOf(store, entry(2))];
  await store.put(entry(1), two);
  await store.put(entry(2), one);
  // The key is signed with the content.
  expect(await kindsIn(store)).toEqual([`damaged ${entry(1)}`, `damaged ${entry(2)}`]);
});

test('attack: an entry that was dropped and its followers renumbered are named', async () => {
  const { store, archive } = await signedHistory();
  await archive.chain.expire({ backups: [], wal: [] });
  await store.put(entry(2), await sourceOf(store, entry(3)));
  await store.delete([entry(3)]);
  expect(await kindsIn(store)).toEqual([`damaged ${entry(2)}`]);
});

test('attack: an entry of the same signer that does not follow is named', async () => {
  const { store } = await signedHistory();
  const content = { backups: [], wal: [], files: [] };
  await forge(store, entry(2), ours.pem, { number: 2, previous: 'f'.repeat(64), kind: 'expiry', content });
  expect(await kindsIn(store)).toEqual([`relinked ${entry(2)}`]);
});

test('attack: a chain that was cut is named by who knew its head, and by nobody else', async () => {
  const heads = rememberingHeads();
  const { store } = await signedHistory(heads);
  await store.delete([entry(2)]);
  expect(await kindsIn(store, signing(heads))).toEqual([`rolled-back ${entry(2)}`]);
  const stranger = await (await archiveIn(store)).chain.audit();
  expect(stranger).toMatchObject({ faults: [], known: undefined });
});

test('attack: an older copy of the whole store is named by who knew its head, and is never signed on', async () => {
  const heads = rememberingHeads();
  const { store, archive } = await signedHistory(heads);
  const old = await copyOf(store);
  await backUp(archive, TREE);
  const newest = await archive.chain.checkpoint();
  const restored = await archiveIn(old, signing(heads));
  expect((await restored.chain.audit()).faults).toMatchObject([{ kind: 'rolled-back', key: entry(3) }]);
  await expect(restored.chain.checkpoint()).rejects.toMatchObject({ code: 'CHAIN_BROKEN' });
  const told = await (await archiveIn(old)).chain.audit({ known: newest });
  expect(told.faults).toMatchObject([{ kind: 'rolled-back', key: entry(3) }]);
});

test('attack: another continuation of the chain is named by who knew the first', async () => {
  const heads = rememberingHeads();
  const { store, archive } = await signedHistory(heads);
  const old = await copyOf(store);
  await archive.chain.expire({ backups: [], wal: [] });
  await (await archiveIn(old)).chain.expire({ backups: ['x'], wal: [] });
  expect(await kindsIn(old, signing(heads))).toEqual([`rewritten ${entry(3)}`]);
});

test('attack: a backup.json that was replaced and sealed anew is refused', async () => {
  const { store, labels } = await signedHistory();
  const key = `clusters/main/1/backups/${labels[0]}/backup.json`;
  const text = (await contentOf(store, key))?.toString() ?? '';
  const { sha256: _, ...content } = JSON.parse(text) as Record<string, never>;
  await store.put(key, bytesOf(sealJson({ ...content, sizeBytes: 1 })));
  openSealedJson((await contentOf(store, key)) ?? Buffer.alloc(0), key);
  const { chain, backups } = await archiveIn(store);
  // Its old signature is one of its members still, and fits no more.
  expect(await chain.signatureOf(labels[0] ?? '')).toMatchObject({ trust: expect.stringMatching(/wrong|unsigned/u) });
  await expect(chain.assertTrusted(await backups.get(labels[0] ?? ''))).rejects.toMatchObject({
    code: 'SIGNATURE_INVALID',
  });
});

test('attack: a record that is another one when its signature is looked at is refused', async () => {
  const { archive, labels } = await signedHistory();
  const record = await archive.backups.get(labels[0] ?? '');
  await archive.chain.assertTrusted(record);
  const other = { ...record, manifest: { ...record.manifest, root: 'f'.repeat(64) } };
  await expect(archive.chain.assertTrusted(other)).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' });
});

test('attack: a record of another place is refused though its signature is real', async () => {
  const { store, labels } = await signedHistory();
  const [one = '', other = ''] = labels;
  const keyOf = (label: string): string => `clusters/main/1/backups/${label}/backup.json`;
  await store.put(keyOf(one), await sourceOf(store, keyOf(other)));
  expect(await (await archiveIn(store)).chain.signatureOf(one)).toMatchObject({ trust: 'wrong' });
});

test('attack: a foreign signer is named, in a record and in the chain', async () => {
  const { store } = await signedHistory();
  const intruder = await archiveIn(store, { key: () => theirs.pem, trusted: [ours.publicKey, theirs.publicKey] });
  const record = await backUp(intruder, TREE);
  const { label } = record;
  await intruder.chain.checkpoint();
  const { chain } = await archiveIn(store);
  expect(await chain.signatureOf(label)).toMatchObject({ trust: 'foreign' });
  await expect(chain.assertTrusted(record)).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' });
  const audit = await chain.audit();
  expect(audit.faults).toMatchObject([{ kind: 'foreign', key: entry(3) }]);
  expect(audit.backups.has(label)).toBe(false);
  await expect(chain.expire({ backups: [], wal: [] })).rejects.toMatchObject({ code: 'CHAIN_BROKEN' });
});

test('a flipped bit anywhere in a signed record is found by whoever reads it, and no byte of it counts', async () => {
  const { store, labels } = await signedHistory();
  const [label = ''] = labels;
  const key = `clusters/main/1/backups/${label}/backup.json`;
  const bytes = (await contentOf(store, key)) ?? Buffer.alloc(0);
  const archive = await archiveIn(store);
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(at) ^ (1 << (at % 8)), at);
    await store.put(key, bytesOf(changed));
    await expect(archive.backups.get(label), `byte ${at}`).rejects.toMatchObject({
      code: expect.stringMatching(/CORRUPT|REPOSITORY_FORMAT/u),
      message: expect.stringContaining(key),
    });
    await expect(archive.chain.signatureOf(label), `byte ${at}`).rejects.toMatchObject({ code: 'CORRUPT' });
  }
  await store.put(key, bytesOf(bytes));
  expect(await archive.backups.get(label)).toMatchObject({ label });
});

test('attack: any member of a record that is changed under a right seal is refused by its signature', async () => {
  const { store, labels } = await signedHistory();
  const [label = ''] = labels;
  const key = `clusters/main/1/backups/${label}/backup.json`;
  const bytes = (await contentOf(store, key)) ?? Buffer.alloc(0);
  const archive = await archiveIn(store);
  const { signature, sha256: _, ...members } = JSON.parse(bytes.toString()) as Record<string, string | number>;
  expect(Object.keys(members).length).toBeGreaterThan(20);
  for (const [name, value] of Object.entries(members)) {
    if (name === 'format') continue; // a higher one needs a newer reader
    const other = typeof value === 'number' ? value + 1 : typeof value === 'string' ? `${value}0` : [];
    const forged = sealJson({ ...members, [name]: other }, () => `  "signature": "${signature}",\n`);
    await store.put(key, bytesOf(forged));
    expect({ name, ...(await archive.chain.signatureOf(label)) }).toMatchObject({ name, trust: 'wrong' });
  }
  await store.put(key, bytesOf(bytes));
  expect(await archive.chain.signatureOf(label)).toMatchObject({ trust: 'trusted' });
});

test('a flipped bit anywhere in an entry is found', async () => {
  const { store } = await signedHistory();
  await open(store).check(entry(1));
  const bytes = (await contentOf(store, entry(1))) ?? Buffer.alloc(0);
  const places = [0, 3, 40, bytes.length - 1, bytes.length - 60, bytes.length - 200, bytes.length >> 1];
  for (const at of places) {
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(at) ^ 4, at);
    await store.put(entry(1), bytesOf(changed));
    expect({ at, faults: (await kindsIn(store))[0] }).toEqual({ at, faults: `damaged ${entry(1)}` });
  }
});

/** An entry by somebody who has that key. */
async function forge(store: Store, key: string, pem: string, members: Record<string, never> | object): Promise<void> {
  const { id } = await open(store).identity();
  const place = { repository: id, cluster: 'main', epoch: 1, createdAt: '2026-11-20T00:00:00.000Z' };
  const sealed = sealJson({ ...place, ...members }, (body) =>
    signatureLine(signerOf(pem), { repository: id, key }, body),
  );
  await store.put(key, bytesOf(sealed));
}
