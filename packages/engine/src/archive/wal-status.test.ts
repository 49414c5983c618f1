import { type Compressor, type Lsn, parseLsn, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { type EpochArchive, openRepository } from '@keyframe/repository';
import { contentOf, createMemoryStore } from '@keyframe/testkit';
import { beforeEach, describe, expect, it } from 'vitest';
import { walStatus } from './wal-status.ts';

const SIZE = 1 << 20;
const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };
const segment = (number: number): string => `00000001000000000000000${number}`;

let archive: EpochArchive;
let store: Store;
beforeEach(async () => {
  const now = (): Date => new Date();
  store = createMemoryStore();
  const repository = openRepository({ store, compressor: copying, compressors: [], now });
  await repository.init();
  archive = await repository.cluster('main').create({ systemIdentifier: '7', postgresVersion: 180_000 });
  await publish(parseLsn('0/300028'), parseLsn('0/500100'));
});

async function publish(startLsn: Lsn, stopLsn: Lsn): Promise<void> {
  const holder = { host: 'h', bootId: 'b', pid: 1, processStart: '1', command: 'test' };
  const writer = await archive.backups.begin({ type: 'full', method: 'stream', holder, tool: 'test' });
  const moment = { startedAt: '2026-11-20T03:00:00.000Z', stoppedAt: '2026-11-20T03:01:00.000Z' };
  const prepared = await writer.finish({
    ...moment,
    postgresVersion: 180_000,
    walSegmentSizeBytes: SIZE,
    dataChecksums: true,
    timeline: 1,
    startLsn,
    backupLabel: '',
    tablespaces: [],
    stopLsn,
    stopTimeline: 1,
    serverManifest: Buffer.from('{}'),
  });
  await writer.publish(prepared);
}

async function archiveSegments(...numbers: number[]): Promise<void> {
  for (const number of numbers) {
    const facts = { systemIdentifier: '7', segmentSizeBytes: SIZE };
    await archive.wal.put({ name: segment(number), content: bytesOf(Buffer.alloc(SIZE)), facts });
  }
}

describe('which backups can be recovered from', () => {
  it.each([
    ['all of its own WAL', [3, 4, 5], undefined, '0/600000'],
    ['what comes after it too', [3, 4, 5, 6], undefined, '0/700000'],
    ['no segment of its start', [4, 5], 3, undefined],
    ['a gap in it', [3, 5], 4, undefined],
    ['no segment of its stop', [3, 4], 5, undefined],
    ['a gap after it', [3, 4, 5, 7], 6, '0/600000'],
  ] as const)('with %s', async (_, held, missing, end) => {
    await archiveSegments(...held);
    const { brokenBy, recoverableFrom, recoverable } = await walStatus(archive);
    // Up to the gap where the backup gets consistent before it, else nowhere.
    expect(recoverable?.lsn).toBe(end);
    expect(recoverable?.stoppedBy).toBe(end !== undefined && missing !== undefined ? segment(missing) : undefined);
    expect(brokenBy.map(({ gap }) => gap)).toEqual(missing === undefined ? [] : [segment(missing)]);
    expect(recoverableFrom).toHaveLength(missing === undefined ? 1 : 0);
  });
});

it('tells how far recovery gets where the newest segment is damaged', async () => {
  await archiveSegments(3, 4, 5, 6);
  const key = archive.checks.keyOf('wal', segment(6));
  const bytes = Buffer.from((await contentOf(store, key)) ?? Buffer.alloc(0));
  bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
  await store.put(key, bytesOf(bytes));
  const { recoverable, newest } = await walStatus(archive);
  expect(newest?.segment).toBe(segment(6));
  expect(recoverable).toMatchObject({ lsn: '0/600000', stoppedBy: segment(6) });
});
