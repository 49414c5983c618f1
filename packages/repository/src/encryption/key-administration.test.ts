import { KeyframeError, Secret } from '@keyframe/contracts';
import { createMemoryStore, failing, faulty } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import { keysOf, open, openArchive } from '../../test/support.ts';
import { bytesAt, encrypted, KEY, overwrite, reopen, walFile } from './encrypted.fixture.ts';
import type { NamedEncryptor } from './encryption.ts';
import { age, OFFICE, passphrase, SAFE } from './keys.fixture.ts';

const office = age([OFFICE.recipient], OFFICE.identity);
const safe = age([SAFE.recipient], SAFE.identity);

test('slots are listed with what they are and what they can do here', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY, age([OFFICE.recipient])));
  const { generations, slots } = await open(store, encrypted(KEY, age([OFFICE.recipient]))).keys.list();
  expect(generations).toMatchObject([{ generation: 1, plainBefore: false }]);
  expect(slots).toMatchObject([
    { slot: 'age', encryptor: 'age', keyId: OFFICE.recipient, asymmetric: true, here: 'write-only', configured: true },
    { slot: 'passphrase', keyId: 'passphrase', asymmetric: false, here: 'read-write', configured: true },
  ]);
  expect((await open(store).keys.list()).slots).toMatchObject([{ here: 'unknown' }, { here: 'unknown' }]);
});

test('a slot is listed as open only when its passphrase was tried, in whatever generation', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY, office));
  await open(store, encrypted(KEY, office)).keys.rotate();
  const here = async (...keys: readonly NamedEncryptor[]): Promise<string[]> =>
    (await open(store, encrypted(...keys)).keys.list()).slots.map(
      (each) => `${each.generation} ${each.slot} ${each.here}`,
    );
  expect(await here(KEY, office)).toEqual([
    '1 age private-key',
    '1 passphrase read-write',
    '2 age private-key',
    '2 passphrase read-write',
  ]);
  expect(await here(passphrase('incorrect horse battery'))).toEqual([
    '1 age unknown',
    '1 passphrase fails',
    '2 age unknown',
    '2 passphrase fails',
  ]);
});

test('a slot of a repository without keys is not looked for', async () => {
  const store = createMemoryStore();
  await openArchive(store);
  await expect(open(store).keys.remove('passphrase')).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
});

test('a passphrase with a name of its own has a slot of that name', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY));
  const second = passphrase('another horse battery', 'Team-B');
  expect(await open(store, encrypted(KEY, second)).keys.add()).toMatchObject([{ slot: 'teamb', keyId: 'Team-B' }]);
  await open(store, encrypted(second)).keys.remove('passphrase');
  expect((await open(store, encrypted(second)).keys.rotate()).slots.map(({ slot }) => slot)).toEqual([
    'teamb',
    'teamb',
  ]);
});

test('a slot is added by who can read, for every generation', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY));
  await open(store, encrypted(KEY)).keys.rotate();
  await expect(open(store, encrypted(office)).keys.add()).rejects.toMatchObject({ code: 'KEY_WRONG' });
  expect(await open(store, encrypted(KEY, office)).keys.add()).toMatchObject([{ slot: 'age', generation: 2 }]);
  expect(await open(store, encrypted(KEY, office)).keys.add()).toEqual([]);
  expect((await open(store, encrypted(office)).keys.exportIndex()).reveal()).toMatch(
    /^keyframe-index-key 1 [0-9a-f]{64}\nkeyframe-index-key 2 [0-9a-f]{64}\n$/,
  );
});

test('a passphrase that was changed in place is not taken for the one that has a slot', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY, office));
  const changed = passphrase('incorrect horse battery');
  for (const keys of [open(store, encrypted(changed)).keys, open(store, encrypted(changed, office)).keys]) {
    await expect(keys.add()).rejects.toMatchObject({ code: 'KEY_WRONG', details: { slot: 'passphrase' } });
    await expect(keys.remove('age')).rejects.toMatchObject({ code: 'KEY_LAST' });
  }
  await expect(open(store, encrypted(changed, office)).keys.rotate()).rejects.toMatchObject({ code: 'KEY_WRONG' });
  expect((await open(store, encrypted(KEY)).keys.test()).map(({ result }) => result)).toContain('opens');
});

test('whether this host can write, and whether that is encrypted, is told before it writes', async () => {
  const plain = createMemoryStore();
  await openArchive(plain);
  expect(await open(plain).keys.encrypts()).toBe(false);
  await expect(open(plain, encrypted(KEY)).keys.encrypts()).rejects.toMatchObject({ code: 'NOT_ENCRYPTED' });
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY));
  expect(await open(store, encrypted(KEY)).keys.encrypts()).toBe(true);
  await expect(open(store).keys.encrypts()).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
  const wrong = open(store, encrypted(passphrase('incorrect horse battery')));
  await expect(wrong.keys.encrypts()).rejects.toMatchObject({ code: 'KEY_WRONG' });
});

test('a removed slot opens nothing any more, in any generation, and its name is not used again', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY, office));
  await open(store, encrypted(KEY, office)).keys.rotate();
  const removed = await open(store, encrypted(KEY)).keys.remove('age');
  expect(removed.map(({ generation }) => generation)).toEqual([1, 2]);
  await expect((await reopen(store, encrypted(office))).wal.put(walFile(Buffer.alloc(1 << 20)))).rejects.toMatchObject({
    code: 'KEY_WRONG',
  });
  expect(await open(store, encrypted(KEY, safe)).keys.add()).toMatchObject([{ slot: 'age2' }]);
  await expect(open(store, encrypted(KEY)).keys.remove('age')).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('the last slot, and one beside which no other is proven here, are not removed', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY));
  await expect(open(store, encrypted(KEY)).keys.remove('passphrase')).rejects.toMatchObject({ code: 'KEY_LAST' });
  await open(store, encrypted(KEY, age([SAFE.recipient]))).keys.add();
  await expect(open(store, encrypted(KEY)).keys.remove('passphrase')).rejects.toMatchObject({ code: 'KEY_LAST' });
  await open(store, encrypted(safe)).keys.remove('passphrase');
  expect((await open(store).keys.list()).slots).toMatchObject([{ slot: 'age' }]);
});

test('a rotation that would lock a slot out is refused; public keys are enough for the others', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY, office));
  await expect(open(store, encrypted(KEY)).keys.rotate()).rejects.toMatchObject({ code: 'CONFLICT' });
  await open(store, encrypted(KEY, age([OFFICE.recipient]))).keys.rotate();
  expect((await open(store, encrypted(office)).keys.exportIndex()).reveal()).toContain('keyframe-index-key 2');
});

test('the test of keys tells which slots open, which fail and which cannot be tried here', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY, office, safe));
  const wrong = passphrase('incorrect horse battery');
  const proofs = await open(store, encrypted(wrong, office, age([SAFE.recipient]))).keys.test();
  expect(proofs).toMatchObject([
    { slot: 'age', result: 'opens', reason: undefined },
    { slot: 'age2', result: 'not-tested' },
    { slot: 'passphrase', result: 'fails' },
  ]);
  expect((await open(store).keys.test()).map(({ result }) => result)).toEqual([
    'not-tested',
    'not-tested',
    'not-tested',
  ]);
});

test('a damaged slot fails its test, and the others still open', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY, office));
  const text = (await bytesAt(store, 'keys/1/age-1')).toString();
  await overwrite(store, 'keys/1/age-1', Buffer.from(text.replace('"number": 1', '"number": 2')));
  expect(await open(store, encrypted(KEY, office)).keys.test()).toMatchObject([
    { slot: 'passphrase', result: 'opens' },
    { slot: 'age', result: 'fails' },
  ]);
  expect(await (await reopen(store, encrypted(KEY))).wal.put(walFile(Buffer.alloc(1 << 20)))).toBe('archived');
});

test('a generation that somebody else wrote, without the index key of the one before, is not believed', async () => {
  const [store, forged] = [createMemoryStore(), createMemoryStore()];
  const more = encrypted(age([OFFICE.recipient], OFFICE.identity));
  await openArchive(store, more);
  // The attacker knows the recipient's public key and may create objects: a generation of his own.
  await overwrite(forged, 'keyframe.json', await bytesAt(store, 'keyframe.json'));
  await open(forged, encrypted(age([OFFICE.recipient]), KEY)).init();
  await open(forged, encrypted(age([OFFICE.recipient]), KEY)).keys.rotate();
  for (const key of await keysOf(forged, 'keys/2/')) await overwrite(store, key, await bytesAt(forged, key));
  const archive = await reopen(store, more);
  await expect(archive.wal.put(walFile(Buffer.alloc(1 << 20)))).rejects.toMatchObject({ code: 'KEY_WRONG' });
});

test('killed at any write, making or rotating keys leaves a repository that opens', async () => {
  const store = createMemoryStore();
  const both = encrypted(KEY, office);
  await openArchive(store, both);
  for (let nth = 1; nth <= 3; nth += 1) {
    const broken = faulty(store, failing('put', { nth, error: new KeyframeError('ACCESS_DENIED', 'killed here') }));
    await expect(open(broken, both).keys.rotate()).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    expect((await open(store, both).keys.list()).generations).toHaveLength(1);
  }
  await open(store, both).keys.rotate();
  for (const key of [KEY, office])
    expect((await open(store, encrypted(key)).keys.exportIndex()).reveal()).toContain('keyframe-index-key 2');
});

test('of two rotations at once one wins, and every slot opens what it wrote', async () => {
  const store = createMemoryStore();
  const both = encrypted(KEY, office);
  await openArchive(store, both);
  const results = await Promise.allSettled([open(store, both).keys.rotate(), open(store, both).keys.rotate()]);
  expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  const proofs = await open(store, both).keys.test();
  expect(proofs.map(({ result }) => result)).toEqual(['opens', 'opens', 'opens', 'opens']);
});

test('a host with the index key of an earlier generation goes on under it, and says so', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY, office));
  const indexKey = await open(store, encrypted(KEY)).keys.exportIndex();
  await open(store, encrypted(KEY, office)).keys.rotate();
  const warnings: string[] = [];
  const warn = (message: string): void => void warnings.push(message);
  const archive = await reopen(store, { encryption: { encryptors: [age([OFFICE.recipient])], indexKey, warn } });
  await archive.wal.put(walFile(Buffer.alloc(1 << 20)));
  expect((await archive.wal.header('000000010000000000000003'))?.generation).toBe(1);
  expect(warnings).toHaveLength(1);
});

test('keys that are gone are told as lost, and no new ones are made in their place', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY));
  await store.delete(await keysOf(store, 'keys/'));
  await expect(open(store, encrypted(KEY)).init()).rejects.toMatchObject({ code: 'CORRUPT' });
  const archive = await reopen(store, encrypted(KEY));
  await expect(archive.wal.put(walFile(Buffer.alloc(1 << 20)))).rejects.toMatchObject({ code: 'CORRUPT' });
});

test('what is no index key is refused', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY));
  const archive = await reopen(store, { encryption: { encryptors: [], indexKey: new Secret('secret') } });
  await expect(archive.wal.put(walFile(Buffer.alloc(1 << 20)))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
});

/** A key service that answers or does not. */
function service(name: string, state: { away: boolean }): NamedEncryptor {
  const { encryptor } = passphrase(`correct horse ${name}`, name);
  const unlessAway = <T>(work: () => Promise<T>): Promise<T> =>
    state.away ? Promise.reject(new KeyframeError('UNAVAILABLE', `${name} is away`)) : work();
  return {
    kind: 'service',
    encryptor: {
      keyId: name,
      canUnwrap: true,
      asymmetric: true,
      wrap: (key, options) => unlessAway(() => encryptor.wrap(key, options)),
      unwrap: (wrapped, options) => unlessAway(() => encryptor.unwrap(wrapped, options)),
    },
  };
}

test('while a key service is away another key opens, and without one it is not called a wrong key', async () => {
  const store = createMemoryStore();
  const state = { away: false };
  const kms = service('kms', state);
  await openArchive(store, encrypted(kms, KEY));
  const going = open(store, encrypted(kms));
  const indexKey = await going.keys.exportIndex();
  const encryption = { encryptors: [kms], indexKey };
  expect(await going.keys.encrypts()).toBe(true);
  state.away = true;
  expect(await open(store, encrypted(kms, KEY)).keys.encrypts()).toBe(true);
  await expect(open(store, encrypted(kms)).keys.encrypts()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  // What only writes needs no key service.
  expect(await open(store, { encryption }).keys.encrypts()).toBe(true);
  // What this process has opened it goes on with.
  expect(await going.keys.encrypts()).toBe(true);
});
