import { createPrivateKey, hash } from 'node:crypto';
import { Secret } from '@keyframe/contracts';
import { bytesOf, drain } from '@keyframe/contracts/streams';
import passphrasePlugin from '@keyframe/encrypt-passphrase';
import { createMemoryStore, testHost } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import vectors from '../../../../docs/format/vectors.json' with { type: 'json' };
import { openArchive } from '../../test/support.ts';
import { assertGeneration, decodeGeneration } from '../encryption/generation-object.ts';
import { IndexKeys } from '../encryption/index-keys.ts';
import { ObjectCipher } from '../encryption/object-cipher.ts';
import { openSealedKey } from '../encryption/sealed-key.ts';
import { openBundle } from '../encryption/slot-object.ts';
import { Codecs } from '../objects/codecs.ts';
import { signerOf } from '../signing/keys.ts';
import { findSignature } from '../signing/signature-line.ts';
import { ByteReader, ByteWriter } from './bytes.ts';
import { decodeEntries, EntriesEncoder } from './entries.ts';
import { contentHash, publicContentKey } from './content-hash.ts';
import { decodeContents, decodeExtents, type ExtentRecord, ExtentsEncoder } from './extents.ts';
import { readFrameHeader, writeFrameHeader } from './frame.ts';
import { decodePacks, encodePacks } from './manifest-tables.ts';
import { decodePackContent, PackContentEncoder, type PackedFile } from './pack-content.ts';
import { openSealedJson, sealJson } from './sealed-json.ts';

const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');

test.each(vectors.varint)('the varint of $value is $hex', ({ value, hex }) => {
  const writer = new ByteWriter();
  writer.varint(value);
  expect(writer.take().toString('hex')).toBe(hex);
  expect(new ByteReader(bytes(hex), 'x').varint()).toBe(value);
});

test.each(vectors.signed)('the signed number $value is $hex', ({ value, hex }) => {
  const writer = new ByteWriter();
  writer.signed(value);
  expect(writer.take().toString('hex')).toBe(hex);
  expect(new ByteReader(bytes(hex), 'x').signed()).toBe(value);
});

test('a frame header is as specified', () => {
  const { hex, ...header } = vectors.frameHeader;
  const written = Buffer.alloc(32, 0xff);
  writeFrameHeader(written, 0, { ...header, generation: 0 });
  expect(written.toString('hex')).toBe(hex);
  expect(readFrameHeader(bytes(hex), 'x')).toEqual({ ...header, generation: 0 });
});

test('sealed JSON is as specified', () => {
  const fields = openSealedJson(Buffer.from(vectors.sealedJson.text), 'x');
  expect(fields.text('label')).toBe(vectors.sealedJson.label);
});

test('entries are as specified', () => {
  const { hex, entries } = vectors.entries;
  const decoded = decodeEntries(bytes(hex), 0, 'x');
  expect(decoded).toEqual(entries.map((entry, ordinal) => Object.assign({ ordinal }, entry)));
  const encoder = new EntriesEncoder();
  for (const entry of decoded) encoder.add(entry);
  expect(encoder.take().toString('hex')).toBe(hex);
});

test('extents are as specified', () => {
  const { hex } = vectors.extents;
  const { frames, zeros } = decodeExtents(bytes(hex), 'x');
  const flat = (extents: readonly ExtentRecord[]): number[][] =>
    extents.map((each) => [each.ordinal, each.fileOffset, each.sizeBytes, each.frameOffset]);
  const listed = frames.map(({ pack, number, offset, storedBytes, plainBytes, sha256, extents }) => [
    [pack, number, offset, storedBytes, plainBytes, Buffer.from(sha256).toString('hex')],
    flat(extents),
  ]);
  expect([...listed, [null, flat(zeros)]]).toEqual(vectors.extents.frames);
  const encoder = new ExtentsEncoder();
  for (const frame of frames) encoder.add(frame);
  for (const range of zeros) encoder.addZeros(range);
  expect([encoder.first, encoder.last]).toEqual([1, 4]);
  expect(encoder.take().toString('hex')).toBe(hex);
});

test('the list of packs is as specified', () => {
  const packs = decodePacks(bytes(vectors.packs.hex), 'x');
  expect(packs.map(({ epoch, label, number }) => [epoch, label, number])).toEqual([
    [0, '', 1],
    [1, '20261113T030000Z-full', 123_456],
  ]);
  expect(encodePacks(packs).toString('hex')).toBe(vectors.packs.hex);
});

test('a content hash is as specified', () => {
  const { repository, key, content, hash: known } = vectors.contentHash;
  expect(Buffer.from(publicContentKey(repository)).toString('hex')).toBe(key);
  expect(contentHash(publicContentKey(repository), Buffer.from(content)).toString('hex')).toBe(known);
});

test('content hashes of an extents chunk are as specified', () => {
  const { hex, contents } = vectors.contents;
  const chunk = decodeExtents(bytes(hex), 'x');
  const decoded = chunk.contents.flatMap((section) => decodeContents(section, 'x'));
  const listed = decoded.map((each) => [
    each.ordinal,
    each.fileOffset,
    each.sizeBytes,
    Buffer.from(each.hash).toString('hex'),
  ]);
  expect(listed).toEqual(contents);
  const encoder = new ExtentsEncoder();
  for (const frame of chunk.frames) encoder.add(frame);
  for (const content of decoded) encoder.addContent(content);
  expect(encoder.take().toString('hex')).toBe(hex);
});

test('the content of a pack is as specified', () => {
  const { hex, frames } = vectors.packContent;
  const decoded = decodePackContent(bytes(hex), frames.length, 'x');
  const listed = decoded.map(({ extents, contents }) => ({
    extents: extents.map((each) => [...rangeOf(each), each.frameOffset]),
    contents: contents.map((each) => [...rangeOf(each), Buffer.from(each.hash).toString('hex')]),
  }));
  expect(listed).toEqual(frames);
  const encoder = new PackContentEncoder();
  for (const frame of decoded) encoder.add(frame);
  expect(encoder.bytes().toString('hex')).toBe(hex);
});

test('the list of packs says what is alive in each', () => {
  const { hex, liveBytes } = vectors.packsWithLive;
  const packs = decodePacks(bytes(hex), 'x');
  expect(packs.map((pack) => pack.liveBytes)).toEqual(liveBytes);
  expect(encodePacks(packs).toString('hex')).toBe(hex);
});

test('a WAL object is as specified', async () => {
  const { name, content, hex } = vectors.wal;
  const store = createMemoryStore();
  // The object of the vector belongs to this repository, and is given out by no other.
  const identity = { id: '7d1c7a6e-6d5e-4f5e-9a77-0d8d3c1f1b11', createdAt: '2026-11-20T03:00:00Z' };
  const parameters = { frameBytes: 262_144, walFrameBytes: 1_048_576 };
  await store.put('keyframe.json', bytesOf(sealJson({ ...identity, parameters })));
  const archive = await openArchive(store);
  await store.put(`clusters/main/1/wal/${name}`, bytesOf(bytes(hex)));
  const found = await archive.wal.get(name);
  expect(found?.header).toMatchObject({ kind: 'history', timeline: 2, segmentSizeBytes: undefined });
  expect((await drain(found?.content ?? bytesOf().open())).toString()).toBe(content);
});

function rangeOf(range: {
  readonly file: PackedFile;
  readonly fileOffset: number;
  readonly sizeBytes: number;
}): unknown[] {
  return [Buffer.from(range.file.path).toString(), range.file.sizeBytes, range.fileOffset, range.sizeBytes];
}

test('keys, frames and sections are encrypted as specified', async () => {
  const { repository, objectKey, slot, content, ...known } = vectors.encryption;
  const generation = decodeGeneration(Buffer.from(known.generation), 'keys/1/generation.json');
  const { wrapped, bundle, passphrase, key } = slot;
  const options = { passphrase: new Secret(passphrase), name: 'passphrase', work: 14 };
  const slotKey = await passphrasePlugin.create(options, testHost()).unwrap(bytes(wrapped));
  const [secrets] = openBundle(slotKey, { bundle: bytes(bundle), key }, repository);
  if (secrets === undefined) throw new Error('an empty bundle');
  const index = new IndexKeys(1, secrets.indexKey, repository);
  assertGeneration(generation, index, undefined, repository);
  const dataKey = openSealedKey(bytes(known.sealedKey), secrets.privateKey, repository, objectKey);
  const cipher = new ObjectCipher(1, dataKey, repository, objectKey);
  const expected = { number: 5, plainBytes: content.length, cipher };
  expect(Buffer.from(await new Codecs([]).open(bytes(known.frame), expected, objectKey)).toString()).toBe(content);
  const section = index.cipher(objectKey, bytes(known.salt)).openSection(3, bytes(known.section));
  expect(section.toString()).toBe(content);
  expect(index.walIdentity(hash('sha256', content))).toBe(known.walIdentity);
  expect(contentHash(index.contentKey, Buffer.from(content)).toString('hex')).toBe(known.contentHash);
});

test('signatures are as specified, and the chain that carries them', async () => {
  const { seed, publicKey, keyId, repository, objects } = vectors.signature;
  const store = createMemoryStore();
  for (const [key, text] of Object.entries(objects)) await store.put(key, bytesOf(Buffer.from(text)));
  const archive = await openArchive(store, { signing: { trusted: [publicKey] } });
  const audit = await archive.chain.audit();
  expect(audit).toMatchObject({ entries: 2, faults: [] });
  expect([...audit.expired]).toEqual(['20261120T030000Z-full']);
  const der = Buffer.concat([bytes('302e020100300506032b657004220420'), bytes(seed)]);
  const pem = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' });
  const signer = signerOf(pem.toString());
  expect(signer).toMatchObject({ publicKey, keyId });
  for (const [key, text] of Object.entries(objects)) {
    const found = findSignature(Buffer.from(text), { repository, key });
    const signed = found && signer.sign(found.message);
    expect({ key, signature: found?.signature }).toEqual({ key, signature: signed });
    expect(found === undefined).toBe(key === 'keyframe.json');
  }
});
