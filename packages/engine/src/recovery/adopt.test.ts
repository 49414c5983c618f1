import { chown, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Compressor, hasCode } from '@keyframe/contracts';
import { type ClusterHistory, openRepository } from '@keyframe/repository';
import { createMemoryStore } from '@keyframe/testkit';
import { crc32c } from '@keyframe/wal';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { adopt } from './adopt.ts';

const SYSTEM = '7400000000000000001';
const MIB = 1 << 20;
const HISTORY = '1\t0/450000\tno recovery target specified\n';
const NOBODY = 65_534;
const ARCHIVE_COMMAND = ['/opt/keyframe-archive-command', 'node', 'main.mjs', '--', '%p'];
const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };

let data = '';
let history: ClusterHistory;
beforeEach(async () => {
  data = await copyOf(HISTORY);
  const repository = openRepository({
    store: createMemoryStore(),
    compressor: copying,
    compressors: [],
    now: () => new Date(),
  });
  await repository.init();
  history = repository.cluster('main');
  await history.create({ systemIdentifier: SYSTEM, postgresVersion: 180_000 });
});
afterEach(() => rm(data, { recursive: true }));

/** What adopting looks at of a data directory: promoted to timeline 2 in segment 4, written up to segment 6. */
async function copyOf(historyText: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'keyframe-adopt-'));
  for (const name of ['global', 'pg_wal']) await mkdir(join(directory, name));
  await writeFile(join(directory, 'global/pg_control'), controlFile());
  await writeFile(join(directory, 'postgresql.auto.conf'), "work_mem = '8MB'\narchive_mode = 'off'\n");
  await writeFile(join(directory, 'pg_wal/00000002.history'), historyText);
  for (const number of [4, 5, 6])
    await writeFile(join(directory, `pg_wal/00000002000000000000000${number}`), segment(number));
  // Recycled: it waits under a future name with the pages of an old segment.
  await writeFile(join(directory, 'pg_wal/000000020000000000000007'), segment(2));
  return directory;
}

const IN_PRODUCTION = 6;

function controlFile(state = IN_PRODUCTION): Buffer {
  const bytes = Buffer.alloc(8192);
  bytes.writeBigUInt64LE(BigInt(SYSTEM), 0);
  bytes.writeUInt32LE(1800, 8);
  bytes.writeUInt32LE(202_506_291, 12);
  bytes.writeUInt32LE(state, 16);
  bytes.writeUInt32LE(2, 48);
  bytes.writeUInt32LE(1, 172);
  bytes.writeUInt32LE(MIB, 228);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 292)) >>> 0, 292);
  return bytes;
}

function segment(number: number): Buffer {
  const bytes = Buffer.alloc(MIB);
  bytes.writeUInt16LE(0xd1_18, 0);
  bytes.writeUInt16LE(0x02, 2);
  bytes.writeUInt32LE(2, 4);
  bytes.writeBigUInt64LE(BigInt(number * MIB), 8);
  bytes.writeBigUInt64LE(BigInt(SYSTEM), 24);
  bytes.writeUInt32LE(MIB, 32);
  bytes.writeUInt32LE(8192, 36);
  return bytes;
}

describe('adopt', () => {
  const context = () => ({ history, archiveCommand: ARCHIVE_COMMAND });

  it('reserves the timeline, archives what is complete, and switches archiving on', async () => {
    const report = await adopt(context(), data);
    expect(report).toMatchObject({
      timeline: 2,
      forkedFrom: 1,
      forkedAt: '0/450000',
      outcome: 'adopted',
      pushed: ['000000020000000000000004', '000000020000000000000005'],
      gapFrom: undefined,
      needsRestart: false,
    });
    const settings = await readFile(join(data, 'postgresql.auto.conf'), 'utf8');
    expect(settings).toMatch(/^work_mem = '8MB'$[^]*^archive_mode = 'on'$/m);
    expect(settings).not.toContain("'off'");
    expect(settings).toMatch(/^archive_library = ''$/m);
    const { wal } = await history.find(SYSTEM);
    expect([await wal.has('00000002.history'), await wal.has('000000020000000000000006')]).toEqual([true, false]);
    expect(await adopt(context(), data)).toMatchObject({ outcome: 'already-adopted', pushed: [] });
  });

  it('leaves the settings to the server’s user when root adopts', async ({ skip }) => {
    if (process.getuid?.() !== 0) skip('only root may give files away');
    await chown(join(data, 'postgresql.auto.conf'), NOBODY, NOBODY);
    await adopt(context(), data);
    expect(await stat(join(data, 'postgresql.auto.conf'))).toMatchObject({ uid: NOBODY, gid: NOBODY });
  });

  it('adopts only one of two copies promoted to the same timeline, and changes nothing of the other', async () => {
    await adopt(context(), data);
    const other = await copyOf(HISTORY.replace('450000', '460000'));
    try {
      const before = await readFile(join(other, 'postgresql.auto.conf'), 'utf8');
      await expect(adopt(context(), other)).rejects.toSatisfy((error) => hasCode(error, 'WRONG_TIMELINE'));
      expect(await readFile(join(other, 'postgresql.auto.conf'), 'utf8')).toBe(before);
    } finally {
      await rm(other, { recursive: true });
    }
  });

  it('names the first segment that is gone', async () => {
    await rm(join(data, 'pg_wal/000000020000000000000004'));
    expect(await adopt(context(), data)).toMatchObject({ gapFrom: '000000020000000000000004' });
  });

  it.each([
    ['in archive recovery', 5],
    ['shut down in recovery', 2],
  ])('refuses a cluster that is %s, though the signal file is gone', async (_, state) => {
    await writeFile(join(data, 'global/pg_control'), controlFile(state));
    await expect(adopt(context(), data)).rejects.toSatisfy((error) => hasCode(error, 'TARGET_DIRECTORY'));
  });

  it('refuses a cluster that came back on the timeline it was recovered along', async () => {
    await writeFile(join(data, 'postgresql.auto.conf'), "recovery_target_timeline = '2'\n");
    await expect(adopt(context(), data)).rejects.toSatisfy((error) => hasCode(error, 'WRONG_TIMELINE'));
    expect(await (await history.find(SYSTEM)).wal.has('00000002.history')).toBe(false);
    await writeFile(join(data, 'postgresql.auto.conf'), "recovery_target_timeline = '1'\n");
    expect(await adopt(context(), data)).toMatchObject({ outcome: 'adopted' });
  });

  it.each(['recovery.signal', 'standby.signal'])('refuses a cluster that has %s', async (name) => {
    await writeFile(join(data, name), '');
    await expect(adopt(context(), data)).rejects.toSatisfy((error) => hasCode(error, 'TARGET_DIRECTORY'));
    expect(await (await history.find(SYSTEM)).wal.has('00000002.history')).toBe(false);
  });
});
