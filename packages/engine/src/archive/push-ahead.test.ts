import { readFileSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Compressor, segmentName, type Store } from '@keyframe/contracts';
import { type ClusterHistory, openRepository, type WalArchive } from '@keyframe/repository';
import { createMemoryStore, failing, faulty } from '@keyframe/testkit';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { pushAhead, type AheadReport } from './push-ahead.ts';

const SYSTEM = '7400000000000000001';
const SEGMENT_BYTES = 1 << 20;
const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };
const named = (number: number): string => segmentName(1, BigInt(number), SEGMENT_BYTES);

let data = '';
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'keyframe-ahead-'));
  await mkdir(join(data, 'pg_wal/archive_status'), { recursive: true });
  await writeFile(join(data, 'postmaster.pid'), `4711\n${data}\n1790000000\n5432\n/tmp\n\n  1 2\nready\n`);
});
afterEach(() => rm(data, { recursive: true }));

/** A segment as far as its header, waiting to be archived. */
async function ready(number: number): Promise<string> {
  const bytes = Buffer.alloc(SEGMENT_BYTES);
  bytes.writeUInt16LE(0xd1_18, 0);
  bytes.writeUInt16LE(0x02, 2);
  bytes.writeUInt32LE(1, 4);
  bytes.writeBigUInt64LE(BigInt(number) * BigInt(SEGMENT_BYTES), 8);
  bytes.writeBigUInt64LE(BigInt(SYSTEM), 24);
  bytes.writeUInt32LE(SEGMENT_BYTES, 32);
  bytes.writeUInt32LE(8192, 36);
  await writeFile(join(data, 'pg_wal', named(number)), bytes);
  await writeFile(join(data, 'pg_wal/archive_status', `${named(number)}.ready`), '');
  return named(number);
}

async function archiveIn(store: Store): Promise<{ history: ClusterHistory; wal: WalArchive }> {
  const repository = openRepository({ store, compressor: copying, compressors: [], now: () => new Date() });
  await repository.init();
  const history = repository.cluster('main');
  const { wal } = await history.create({ systemIdentifier: SYSTEM, postgresVersion: 180_000 });
  return { history, wal };
}

const push = (
  history: ClusterHistory,
  number: number,
  maxAhead = 32,
  spoolFor = '--config /a b',
): Promise<AheadReport> =>
  pushAhead({ history }, join(data, 'pg_wal', named(number)), { spool: 'keyframe.spool', spoolFor, maxAhead });

const spooled = async (): Promise<string[]> => (await readdir(join(data, 'keyframe.spool'))).toSorted();

it('archives what waits, oldest first and no more than was allowed, and marks it for this run of the server', async () => {
  const { history, wal } = await archiveIn(createMemoryStore());
  for (const number of [9, 3, 5, 4, 8]) await ready(number);
  expect(await push(history, 3, 2)).toMatchObject({ file: named(3), outcome: 'archived', ahead: 2 });
  expect(await spooled()).toEqual([named(4), named(5)]);
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const marker = await readFile(join(data, 'keyframe.spool', named(4)), 'utf8');
  expect(marker).toBe(`${boot} 4711 1790000000 ${SYSTEM} ${named(4)} ${data}\n--config /a b\n`);
  // Who comes later knows nothing of earlier markers, and finds in the repository what they said.
  await rm(join(data, 'keyframe.spool', named(4)));
  await rm(join(data, 'pg_wal/archive_status', `${named(3)}.ready`));
  await rm(join(data, 'pg_wal/archive_status', `${named(4)}.ready`));
  expect(await push(history, 8)).toMatchObject({ ahead: 2 });
  expect(await spooled()).toEqual([named(5), named(9)]);
  for (const number of [3, 4, 5, 8, 9]) expect(await wal.has(named(number))).toBe(true);
});

it('goes first for what PostgreSQL waits for, once it has answered', async () => {
  const { history, wal } = await archiveIn(createMemoryStore());
  for (const number of [3, 4, 5, 9]) await ready(number);
  const answered: string[] = [];
  await pushAhead({ history }, join(data, 'pg_wal', named(3)), {
    spool: 'keyframe.spool',
    spoolFor: '',
    maxAhead: 1,
    onArchived: ({ file }) => {
      answered.push(file, readFileSync(join(data, 'keyframe.spool/pushing'), 'utf8').split('\n')[2] ?? '');
      writeFileSync(join(data, 'keyframe.spool/asked'), `${named(9)}\n`);
    },
  });
  expect(answered).toEqual([named(3), String(process.pid)]);
  expect(await wal.has(named(9))).toBe(true);
  expect(await wal.has(named(4))).toBe(false);
  expect(await spooled()).toEqual([named(9), 'asked']);
});

it('believes itself no longer once another process has the claim', async () => {
  const { history, wal } = await archiveIn(createMemoryStore());
  for (const number of [3, 4]) await ready(number);
  const onArchived = (): void => writeFileSync(join(data, 'keyframe.spool/pushing'), 'another\n');
  const options = { spool: 'keyframe.spool', spoolFor: '', maxAhead: 32, onArchived };
  await pushAhead({ history }, join(data, 'pg_wal', named(3)), options);
  expect(await wal.has(named(4))).toBe(true);
  expect(await spooled()).toEqual(['pushing']);
});

it('marks nothing that is not durable, and reports the file that was asked for alone', async () => {
  const { history, wal } = await archiveIn(faulty(createMemoryStore(), failing('put', { key: new RegExp(named(4)) })));
  for (const number of [3, 4, 5]) await ready(number);
  await writeFile(join(data, 'pg_wal', named(5)), 'no segment');
  expect(await push(history, 3)).toMatchObject({ outcome: 'archived', ahead: 0 });
  expect(await spooled()).toEqual([]);
  expect(await wal.has(named(3))).toBe(true);
});

it('forgets the markers of earlier runs, and takes what others left for none', async () => {
  const { history } = await archiveIn(createMemoryStore());
  for (const number of [3, 4]) await ready(number);
  await mkdir(join(data, 'keyframe.spool'), { mode: 0o700 });
  await writeFile(join(data, 'keyframe.spool', named(4)), `x 4711 1790000000 ${SYSTEM} ${named(4)} ${data}\n`);
  await writeFile(join(data, 'keyframe.spool', 'README'), 'hello');
  expect(await push(history, 3)).toMatchObject({ ahead: 1 });
  expect(await spooled()).toEqual([named(4)]);
});

it('forgets the markers of another command: it may archive elsewhere', async () => {
  const [one, other] = [await archiveIn(createMemoryStore()), await archiveIn(createMemoryStore())];
  for (const number of [3, 4]) await ready(number);
  expect(await push(one.history, 3)).toMatchObject({ ahead: 1 });
  expect(await push(other.history, 3, 32, '--config /other')).toMatchObject({ ahead: 1 });
  expect(await other.wal.has(named(4))).toBe(true);
});

it('goes ahead only where a server runs and nobody else can write markers', async () => {
  const { history } = await archiveIn(createMemoryStore());
  for (const number of [3, 4]) await ready(number);
  await mkdir(join(data, 'keyframe.spool'));
  await chmod(join(data, 'keyframe.spool'), 0o777);
  expect(await push(history, 3)).toMatchObject({ outcome: 'archived', ahead: 0 });
  await chmod(join(data, 'keyframe.spool'), 0o700);
  await rm(join(data, 'postmaster.pid'));
  expect(await push(history, 3)).toMatchObject({ outcome: 'already-archived', ahead: 0 });
});
