/** A small repository to verify. @packageDocumentation */
import { lsn } from '@keyframe/contracts';
import type { BackupRecord, EpochArchive } from '@keyframe/repository';
import { randomBytes } from 'node:crypto';

export const SYSTEM = '7400000000000000001';
export const SEGMENT_BYTES: number = 1 << 20;
const HOLDER = { host: 'db1', bootId: 'b', pid: 1, processStart: '1', command: 'keyframe backup' };
const FILES = ['base/1/100', 'base/1/200'];
const FILE_BYTES = 300_000;

/** The WAL here is only kept, and not read record by record. */
export function wholeSegment(): Buffer {
  return randomBytes(SEGMENT_BYTES);
}

/** Takes a full backup of random files. */
export async function takeFull({ backups }: EpochArchive): Promise<BackupRecord> {
  const writer = await backups.begin({ type: 'full', method: 'stream', holder: HOLDER, tool: 'test' });
  for (const path of FILES) {
    const sink = writer.file({ path, mode: 0o600, modifiedAtSeconds: 1, sizeBytes: FILE_BYTES });
    await sink.write(randomBytes(FILE_BYTES));
    await sink.end();
  }
  const prepared = await writer.finish({
    postgresVersion: 180_006,
    timeline: 1,
    startLsn: lsn(BigInt(3 * SEGMENT_BYTES) + 40n),
    stopLsn: lsn(BigInt(3 * SEGMENT_BYTES) + 400n),
    stopTimeline: 1,
    startedAt: '2026-11-24T10:00:00Z',
    stoppedAt: '2026-11-24T10:01:00Z',
    walSegmentSizeBytes: SEGMENT_BYTES,
    dataChecksums: true,
    tablespaces: [],
    backupLabel: 'START WAL LOCATION: 0/300028\n',
    serverManifest: Buffer.from('{}'),
  });
  return writer.publish(prepared);
}
