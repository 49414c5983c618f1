import { hasCode, KeyframeError, type Lsn, parseLsn } from '@keyframe/contracts';
import type { WalArchive } from '@keyframe/repository';
import { describe, expect, it } from 'vitest';
import { awaitWal, segmentsOf, type WalNudge, whyInVain } from './await-wal.ts';

const MiB = 1 << 20;
const range = (from: Lsn, to: Lsn, segmentSizeBytes = 16 * MiB) => ({ timeline: 1, from, to, segmentSizeBytes });

describe('segmentsOf', () => {
  it('ends with the segment of the last byte needed, not of the stop LSN itself', () => {
    expect(segmentsOf(range(parseLsn('0/2000028'), parseLsn('0/3000000')))).toEqual(['000000010000000000000002']);
    expect(segmentsOf(range(parseLsn('0/2000028'), parseLsn('0/3000001')))).toEqual([
      '000000010000000000000002',
      '000000010000000000000003',
    ]);
  });

  it('crosses a log boundary with the real segment size', () => {
    expect(segmentsOf(range(parseLsn('0/FFFFFFFF'), parseLsn('1/100001'), MiB))).toEqual([
      '000000010000000000000FFF',
      '000000010000000100000000',
      '000000010000000100000001',
    ]);
  });
});

describe('awaitWal', () => {
  const archive = (arrivesAfter: number): Pick<WalArchive, 'has'> & { asked: number } => ({
    asked: 0,
    async has() {
      this.asked += 1;
      return this.asked > arrivesAfter;
    },
  });
  const nudge = (refusal?: string): WalNudge & { calls: number } => ({
    calls: 0,
    async switchWal() {
      this.calls += 1;
      return refusal;
    },
    archiver: async () => ({ state: 'its archiver failed last on 000000010000000000000002' }),
  });
  const needed = range(parseLsn('0/2000028'), parseLsn('0/2000100'));

  it('returns when the last segment has arrived', async () => {
    const wal = archive(1);
    await awaitWal({ wal, nudge: nudge(), timeoutMs: 5_000 }, needed, {});
    expect(wal.asked).toBe(2);
  });

  it('ends with the reason of the abort: who took the lease', async () => {
    const abort = new AbortController();
    const lost = new KeyframeError('LOCKED', 'another backup took the lease');
    const wait = awaitWal({ wal: archive(1e9), nudge: nudge(), timeoutMs: 5_000 }, needed, { signal: abort.signal });
    setTimeout(() => abort.abort(lost), 10);
    await expect(wait).rejects.toBe(lost);
  });

  it('asks an idle primary once to switch, then names what is missing and why', async () => {
    const asked = nudge('permission denied');
    const wait = awaitWal({ wal: archive(1e9), nudge: asked, timeoutMs: 600 }, needed, {});
    const error: unknown = await wait.catch((reason: unknown) => reason);
    expect(hasCode(error, 'BACKUP_WAL_MISSING') && error.details['missing']).toBe('000000010000000000000002');
    expect(String(error)).toContain('permission denied');
    expect(asked.calls).toBe(1);
  });
});

describe('whyInVain', () => {
  const segment = (number: number, timeline = 1): string => `0000000${timeline}000000000000000${number}`;

  it('is what PostgreSQL holds archived and the repository lacks', () => {
    const missing = [segment(4), segment(5)];
    expect(whyInVain({ lastArchived: segment(4) }, missing)).toContain(segment(4));
    expect(whyInVain({ lastArchived: segment(7) }, missing)).toContain(segment(4));
    expect(whyInVain({ lastArchived: segment(3) }, missing)).toBeUndefined();
    expect(whyInVain({ lastArchived: segment(7) }, [])).toBeUndefined();
    expect(whyInVain({}, missing)).toBeUndefined();
  });

  it('is not read from files that go ahead of their segments, or that are of another timeline', () => {
    const missing = [segment(4)];
    expect(whyInVain({ lastArchived: `${segment(4)}.00000028.backup` }, missing)).toBeUndefined();
    expect(whyInVain({ lastArchived: `${segment(5)}.00000028.backup` }, missing)).toContain(segment(4));
    expect(whyInVain({ lastArchived: `${segment(5)}.partial` }, missing)).toBeUndefined();
    expect(whyInVain({ lastArchived: '00000002.history' }, missing)).toBeUndefined();
    expect(whyInVain({ lastArchived: segment(5, 2) }, missing)).toBeUndefined();
  });

  it('is not told where WAL comes by streaming as well', () => {
    expect(whyInVain({ lastArchived: segment(4), isStreamed: true }, [segment(4)])).toBeUndefined();
  });
});
