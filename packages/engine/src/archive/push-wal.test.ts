import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Compressor, hasCode } from '@keyframe/contracts';
import { textOf } from '@keyframe/contracts/streams';
import { type ClusterHistory, openRepository } from '@keyframe/repository';
import { createMemoryStore } from '@keyframe/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pushWal } from './push-wal.ts';

const SYSTEM = '7400000000000000001';
const SEGMENT_BYTES = 1 << 20;
const HISTORY = '1\t0/200000\tno recovery target specified\n';
const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };

let data = '';
let history: ClusterHistory;
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'keyframe-push-'));
  await mkdir(join(data, 'pg_wal'));
  const repository = openRepository({
    store: createMemoryStore(),
    compressor: copying,
    compressors: [],
    now: () => new Date(),
  });
  await repository.init();
  history = repository.cluster('main');
  const { wal } = await history.create({ systemIdentifier: SYSTEM, postgresVersion: 180_000 });
  await wal.put({ name: '00000002.history', content: textOf(HISTORY), facts: { systemIdentifier: SYSTEM } });
});
afterEach(() => rm(data, { recursive: true }));

/** A segment of timeline 2 as far as its header. */
async function segment(name: string, number: bigint): Promise<string> {
  const bytes = Buffer.alloc(SEGMENT_BYTES);
  bytes.writeUInt16LE(0xd1_18, 0);
  bytes.writeUInt16LE(0x02, 2);
  bytes.writeUInt32LE(2, 4);
  bytes.writeBigUInt64LE(number * BigInt(SEGMENT_BYTES), 8);
  bytes.writeBigUInt64LE(BigInt(SYSTEM), 24);
  bytes.writeUInt32LE(SEGMENT_BYTES, 32);
  bytes.writeUInt32LE(8192, 36);
  const path = join(data, 'pg_wal', name);
  await writeFile(path, bytes);
  return path;
}

describe('the fence of a timeline', () => {
  it('lets in the cluster whose history is archived, and a standby without that file', async () => {
    await writeFile(join(data, 'pg_wal/00000002.history'), HISTORY);
    expect((await pushWal({ history }, await segment('000000020000000000000007', 7n))).outcome).toBe('archived');
    await rm(join(data, 'pg_wal/00000002.history'));
    expect((await pushWal({ history }, await segment('000000020000000000000008', 8n))).outcome).toBe('archived');
  });

  it('keeps out another copy promoted to the same timeline id', async () => {
    await writeFile(join(data, 'pg_wal/00000002.history'), HISTORY.replace('200000', '300000'));
    const name = '000000020000000000000007';
    await expect(pushWal({ history }, await segment(name, 7n))).rejects.toSatisfy((error) =>
      hasCode(error, 'WRONG_TIMELINE'),
    );
    expect(await (await history.find(SYSTEM)).wal.has(name)).toBe(false);
  });
});
