import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { segmentName } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import fsPlugin from '@keyframe/store-fs';
import { testHost } from '@keyframe/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import vectors from '../../../docs/format/vectors.json' with { type: 'json' };
import { newSigningKey, type EpochArchive } from '../src/index.ts';
import { backUp, open, openArchive, SYSTEM_IDENTIFIER } from './support.ts';

const run = promisify(execFile);
const reader = fileURLToPath(new URL('../../../test/format-reader/signatures.py', import.meta.url));
const SEGMENT = 1 << 20;
const [ours, theirs, foreign] = [newSigningKey(), newSigningKey(), newSigningKey()];

let directory = '';
let archive: EpochArchive;
const labels: string[] = [];

const chain = (number: number): string =>
  path.join(directory, `clusters/main/1/chain/${String(number).padStart(10, '0')}`);
const check = async (publicKey: string): Promise<unknown> =>
  JSON.parse((await run('python3', [reader, directory, 'main', '1', publicKey])).stdout);

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'keyframe-signed-'));
  const store = fsPlugin.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, testHost());
  let minute = 0;
  const now = (): Date => new Date(Date.UTC(2026, 10, 20, 3, (minute += 1)));
  const signing = { key: () => ours.pem, trusted: [] };
  archive = await openArchive(store, { signing, now });
  const second = open(store, { signing: { key: () => theirs.pem, trusted: [ours.publicKey] }, now });
  await open(store, { signing, now }).signers.introduce(theirs.publicKey, 'db2');
  for (const writer of [archive, await second.cluster('main').at(1)]) {
    const number = BigInt(labels.length + 1);
    const facts = { systemIdentifier: SYSTEM_IDENTIFIER, timeline: 1, segmentSizeBytes: SEGMENT };
    await writer.wal.put({ name: segmentName(1, number, SEGMENT), content: bytesOf(Buffer.alloc(SEGMENT)), facts });
    labels.push((await backUp(writer, new Map([['PG_VERSION', Buffer.from('18\n')]]))).label);
    await writer.chain.checkpoint();
  }
  await archive.chain.expire({ backups: labels.slice(0, 1), wal: [] });
});
afterAll(() => rm(directory, { recursive: true, force: true }));

test('a reader written from the specification alone follows the chain to the same head', async () => {
  const { head } = await archive.chain.audit();
  expect(await check(ours.publicKey)).toEqual({
    entries: 3,
    head: head?.sha256,
    backups: labels.slice(1),
    segments: 2,
  });
});

test('it believes nobody but the key it was given and whom that vouches for', async () => {
  await expect(check(foreign.publicKey)).rejects.toMatchObject({ stderr: expect.stringMatching(/not signed by/) });
  // The second signer vouches for nobody, so the first entry is a stranger's to it.
  await expect(check(theirs.publicKey)).rejects.toMatchObject({
    stderr: expect.stringMatching(/0000000001: not signed/),
  });
});

test('it finds entries that were changed, dropped or put in each other’s place', async () => {
  const [first, second] = [await readFile(chain(1)), await readFile(chain(2))];
  const put = async (number: number, bytes: Buffer): Promise<void> => {
    await rm(chain(number), { force: true });
    await writeFile(chain(number), bytes);
  };
  await put(2, first);
  await expect(check(ours.publicKey)).rejects.toMatchObject({ stderr: expect.stringMatching(/signature/) });
  await rm(chain(2));
  await expect(check(ours.publicKey)).rejects.toMatchObject({ stderr: expect.stringMatching(/number/) });
  const changed = Buffer.from(second);
  changed.writeUInt8(changed.readUInt8(100) ^ 1, 100);
  await put(2, changed);
  await expect(check(ours.publicKey)).rejects.toMatchObject({ stderr: expect.stringMatching(/seal/) });
  await put(2, second);
  expect(await check(ours.publicKey)).toMatchObject({ entries: 3 });
});

test('it agrees with the vectors', async () => {
  const { objects, publicKey } = vectors.signature;
  const place = await mkdtemp(path.join(tmpdir(), 'keyframe-vectors-'));
  for (const [key, text] of Object.entries(objects)) {
    await mkdir(path.dirname(path.join(place, key)), { recursive: true });
    await writeFile(path.join(place, key), text);
  }
  const { stdout } = await run('python3', [reader, place, 'main', '1', publicKey]);
  expect(JSON.parse(stdout)).toMatchObject({ entries: 2, backups: [] });
  await rm(place, { recursive: true });
});
