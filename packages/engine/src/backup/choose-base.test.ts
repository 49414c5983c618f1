import { hasCode, lsn } from '@keyframe/contracts';
import type { TimelineHistory } from '@keyframe/postgres';
import type { BackupRecord } from '@keyframe/repository';
import { describe, expect, it } from 'vitest';
import { type BaseQuestion, chooseBase } from './choose-base.ts';
import type { SourceFacts } from './source-facts.ts';

const source: SourceFacts = {
  systemIdentifier: '7600000000000000001',
  postgresVersion: 180_006,
  timeline: 3,
  segmentSizeBytes: 16 << 20,
  dataChecksums: true,
  pageBytes: 8192,
  filePages: 131_072,
  summarizesWal: false,
};

/** Timeline 3 left 2 at 0/5000000, which left 1 at 0/3000000. */
const history: TimelineHistory = {
  timeline: 3,
  ancestors: [
    { timeline: 1, end: lsn(0x3_00_00_00n), reason: '' },
    { timeline: 2, end: lsn(0x5_00_00_00n), reason: '' },
  ],
};

const backup = (label: string, change: Partial<BackupRecord> = {}): BackupRecord => ({
  format: 1,
  label,
  type: 'full',
  method: 'stream',
  cluster: 'main',
  epoch: 1,
  systemIdentifier: source.systemIdentifier,
  postgresVersion: 180_001,
  timeline: 3,
  startLsn: lsn(0x6_00_00_28n),
  stopLsn: lsn(0x6_00_01_20n),
  stopTimeline: 3,
  startedAt: '',
  stoppedAt: '',
  walSegmentSizeBytes: source.segmentSizeBytes,
  dataChecksums: true,
  tablespaces: [],
  backupLabel: '',
  files: 1,
  sizeBytes: 1,
  storedBytes: 1,
  packs: 1,
  reusedBytes: 0,
  manifest: { key: '', sizeBytes: 0, sha256: '', root: '', copy: { key: '', offset: 0 } },
  tool: '',
  ...change,
});

const choose = (backups: readonly BackupRecord[], change: Partial<BaseQuestion> = {}) =>
  chooseBase({ wanted: 'auto', reuse: true, backups, source, history, ...change });

describe('the backup to build on', () => {
  it('is the newest one that fits', () => {
    const older = backup('older');
    expect(choose([older, backup('newer')])).toMatchObject({ type: 'incremental', base: { label: 'newer' } });
    const other = backup('newer', { timeline: 9 });
    expect(choose([older, other])).toMatchObject({ type: 'incremental', base: { label: 'older' } });
  });

  it('is never one from before checksums were switched, not after they were switched back either', () => {
    const between = backup('between', { dataChecksums: false });
    expect(choose([backup('before'), between])).toMatchObject({ type: 'full', base: { label: 'between' } });
    expect(choose([backup('before'), between, backup('after')]).base?.label).toBe('after');
  });

  it.each([
    ['before the fork that left its timeline', { timeline: 2, startLsn: lsn(0x4_ff_ff_d8n) }, 'incremental'],
    ['after that fork', { timeline: 2, startLsn: lsn(0x5_00_00_00n) }, 'full'],
    [
      'before that fork and stopped after it, on a server that was left behind',
      { timeline: 2, startLsn: lsn(0x4_00_00_28n), stopTimeline: 2, stopLsn: lsn(0x5_00_00_01n) },
      'full',
    ],
    [
      'and stopped before that fork',
      { timeline: 2, startLsn: lsn(0x4_00_00_28n), stopTimeline: 2, stopLsn: lsn(0x5_00_00_00n) },
      'incremental',
    ],
    ['on a branch that was left', { timeline: 1, startLsn: lsn(0x3_00_00_28n) }, 'full'],
    ['on a timeline of another branch', { timeline: 4 }, 'full'],
    ['of another system identifier', { systemIdentifier: '1' }, 'full'],
    ['of an earlier major version', { postgresVersion: 170_011 }, 'full'],
    ['with another checksum state', { dataChecksums: false }, 'full'],
    ['with WAL segments of another size', { walSegmentSizeBytes: 1 << 20 }, 'full'],
  ] as const)('may start %s or not', (_, change, type) => {
    const chosen = choose([backup('only', change)]);
    expect([chosen.type, chosen.base?.label]).toEqual([type, 'only']);
    expect(chosen.why === undefined).toBe(type === 'incremental');
  });

  it('is compared by content alone where a full backup is asked for, and not at all where nothing is to be reused', () => {
    const backups = [backup('older'), backup('newest', { timeline: 9 })];
    expect(choose(backups, { wanted: 'full' })).toEqual({ type: 'full', base: backups[1], why: undefined });
    expect(choose(backups, { wanted: 'full', reuse: false }).base).toBe(undefined);
    expect(choose(backups, { reuse: false })).toEqual({ type: 'full', base: undefined, why: undefined });
  });

  it('is missed aloud only where an increment was asked for', () => {
    expect(choose([])).toEqual({ type: 'full', base: undefined, why: undefined });
    const refused = (error: unknown): boolean => hasCode(error, 'NO_PARENT');
    expect(() => choose([], { wanted: 'incremental' })).toThrow(expect.toSatisfy(refused));
    const other = backup('other', { dataChecksums: false });
    expect(() => choose([other], { wanted: 'incremental' })).toThrow(/other .*checksums/);
    expect(() => choose([backup('b')], { wanted: 'incremental', source: { ...source, pageBytes: 32_768 } })).toThrow(
      expect.toSatisfy(refused),
    );
  });
});
