import type { BackupRecord } from '@keyframe/repository';
import { describe, expect, it } from 'vitest';
import { chooseReader } from './choose-reader.ts';
import type { SourceFacts } from './source-facts.ts';

const source: SourceFacts = {
  systemIdentifier: '1',
  postgresVersion: 180_007,
  timeline: 2,
  segmentSizeBytes: 16 << 20,
  dataChecksums: true,
  pageBytes: 8192,
  filePages: 131_072,
  summarizesWal: true,
};
const record = (change: Partial<BackupRecord> = {}): BackupRecord =>
  ({ label: 'b', timeline: 2, stopTimeline: 2, ...change }) as BackupRecord;
const choose = (change: Partial<SourceFacts> = {}, base = record(), from: 'stream' | 'local' = 'stream') =>
  chooseReader(from, { type: 'incremental', base, why: undefined }, { ...source, ...change });

describe('the server is asked for changed blocks alone', () => {
  it('where it keeps summaries and has stayed on its timeline', () => {
    expect(choose()).toEqual({ method: 'stream-incremental', why: undefined, warning: undefined });
  });

  it('with a warning below the minor version that mended them', () => {
    expect(choose({ postgresVersion: 170_011 }).warning).toContain('17.12');
    expect(choose({ postgresVersion: 170_012 }).warning).toBe(undefined);
    expect(choose({ postgresVersion: 180_006 }).warning).toContain('18.7');
  });

  it('never across a timeline, nor where the earlier backup has damaged pages, nor without summaries', () => {
    for (const [change, base] of [
      [{}, record({ timeline: 1, stopTimeline: 1 })],
      [{}, record({ damagedPageCount: 1 })],
      [{ summarizesWal: false }, record()],
    ] as const)
      expect(choose(change, base)).toMatchObject({ method: 'stream', why: expect.any(String) });
  });

  it('not for a full backup, an older server or files of this machine, about which nothing is to be said', () => {
    const quiet = (method: string) => ({ method, why: undefined, warning: undefined });
    expect(chooseReader('stream', { type: 'full', base: record(), why: undefined }, source)).toEqual(quiet('stream'));
    expect(choose({ postgresVersion: 160_015, summarizesWal: false })).toEqual(quiet('stream'));
    expect(choose({}, record(), 'local')).toEqual(quiet('local'));
  });
});
