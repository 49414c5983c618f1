import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { encodeFrame } from '../format/container-layout.ts';
import { Codecs } from '../objects/codecs.ts';
import { ObjectCipher } from './object-cipher.ts';
import { newKeyPair, openSealedKey, sealNewKey } from './sealed-key.ts';

const CORRUPT = { code: 'CORRUPT' };
const key = randomBytes(32);
const plain = Buffer.from('a page');
const cipher = new ObjectCipher(1, key, 'repository', 'pack-1');
const frame = (number: number, by = cipher): Buffer =>
  encodeFrame({ number, plainBytes: plain.length, payload: { codec: 'none', bytes: plain }, cipher: by });
const open = (stored: Buffer, number: number, by: ObjectCipher | undefined): Promise<Uint8Array> =>
  new Codecs([]).open(stored, { number, plainBytes: plain.length, cipher: by }, 'pack-1');

// Whoever writes to the store can make every checksum and hash right again: here only the key decides.
test('a frame opens where it was written, and nowhere else', async () => {
  expect(Buffer.from(await open(frame(3), 3, cipher))).toEqual(plain);
  const others = [
    new ObjectCipher(1, key, 'repository', 'pack-2'),
    new ObjectCipher(1, key, 'another repository', 'pack-1'),
    new ObjectCipher(1, randomBytes(32), 'repository', 'pack-1'),
  ];
  for (const other of others) await expect(open(frame(3), 3, other)).rejects.toMatchObject(CORRUPT);
  const moved = frame(3);
  const header = frame(4).subarray(0, 32);
  await expect(open(Buffer.concat([header, moved.subarray(32)]), 4, cipher)).rejects.toMatchObject(CORRUPT);
});

test('a header that was changed, a payload that was cut, and one that is not encrypted are damage', async () => {
  const other = encodeFrame({ number: 3, plainBytes: 6, payload: { codec: 'zstd', bytes: plain }, cipher });
  await expect(open(Buffer.concat([other.subarray(0, 32), frame(3).subarray(32)]), 3, cipher)).rejects.toMatchObject(
    CORRUPT,
  );
  const unsealed = encodeFrame({
    number: 3,
    plainBytes: 6,
    payload: { codec: 'none', bytes: plain },
    cipher: undefined,
  });
  await expect(open(unsealed, 3, cipher)).rejects.toMatchObject(CORRUPT);
  await expect(open(frame(3), 3, undefined)).rejects.toMatchObject(CORRUPT);
  expect(() => cipher.open(3, Buffer.alloc(28), Buffer.alloc(15))).toThrow(expect.objectContaining(CORRUPT));
});

test('a section is no frame, and no other section', () => {
  const sealed = cipher.sealSection(3, plain);
  expect(cipher.openSection(3, sealed)).toEqual(plain);
  expect(() => cipher.openSection(1, sealed)).toThrow(expect.objectContaining(CORRUPT));
  expect(() => cipher.open(3, Buffer.alloc(0), sealed)).toThrow(expect.objectContaining(CORRUPT));
});

test('a data key opens by the private key alone, for its object alone', () => {
  const [pair, other] = [newKeyPair(), newKeyPair()];
  const { dataKey, sealed } = sealNewKey(pair.publicKey, 'repository', 'pack-1');
  expect(openSealedKey(sealed, pair.privateKey, 'repository', 'pack-1')).toEqual(dataKey);
  const wrong = [
    () => openSealedKey(sealed, other.privateKey, 'repository', 'pack-1'),
    () => openSealedKey(sealed, pair.privateKey, 'repository', 'pack-2'),
    () => openSealedKey(sealed, pair.privateKey, 'another repository', 'pack-1'),
    () => openSealedKey(sealed.subarray(1), pair.privateKey, 'repository', 'pack-1'),
    () =>
      openSealedKey(Buffer.concat([Buffer.alloc(32), sealed.subarray(32)]), pair.privateKey, 'repository', 'pack-1'),
  ];
  for (const attempt of wrong) expect(attempt).toThrow(expect.objectContaining(CORRUPT));
});
