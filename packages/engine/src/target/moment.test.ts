import { type Lsn, lsn } from '@keyframe/contracts';
import type { WalFact } from '@keyframe/wal';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { requireMoment, resolveMoment, watchFor } from './moment.ts';
import type { RecoveryTarget } from './recovery-target.ts';
import type { Moment, Resolution } from './stop-rule.ts';
import type { TransactionPoint } from './transaction-point.ts';
import type { WhyNot } from './unreachable.ts';

/** A record as PostgreSQL's redo loop sees it. */
interface Rec {
  readonly kind: 'commit' | 'abort' | 'restore-point' | 'other' | 'xact';
  readonly xid: number;
  readonly micros: bigint;
  readonly name: string;
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
  readonly previousEndLsn: Lsn;
}

const REDO = lsn(1000n);

type Draft = Partial<Pick<Rec, 'kind' | 'xid' | 'micros' | 'name'>> & { gap?: number; size?: number };

const commit = (xid: number, micros: bigint): Draft => ({ kind: 'commit', xid, micros });

function layOut(drafts: readonly Draft[]): Rec[] {
  let at = REDO;
  return drafts.map(({ kind = 'other', xid = 0, micros = 0n, name = '', gap = 0, size = 40 }) => {
    const previousEndLsn = at;
    const start = lsn(at + BigInt(gap));
    at = lsn(start + BigInt(size));
    return { kind, xid, micros, name, lsn: start, endLsn: at, previousEndLsn };
  });
}

/** The facts a scanner reports of such records. */
function factsOf(records: readonly Rec[], target: RecoveryTarget, consistentAt: Lsn): WalFact[] {
  const watch = watchFor(target, consistentAt);
  const marks = [...(watch.positions ?? [])];
  let watchedXid = watch.xid;
  return records.flatMap((record): WalFact[] => {
    const { kind, xid, micros: timeMicros, name } = record;
    const place = { lsn: record.lsn, endLsn: record.endLsn, previousEndLsn: record.previousEndLsn };
    const resourceManager = kind === 'other' ? 10 : kind === 'restore-point' ? 0 : 1;
    const facts: WalFact[] = [];
    const [mark] = marks;
    if ((mark !== undefined && record.endLsn >= mark) || (xid !== 0 && xid === watchedXid)) {
      facts.push({ kind: 'record', ...place, resourceManager, xid });
      if (xid === watchedXid) watchedXid = undefined;
      if (mark !== undefined && record.lsn >= mark) marks.shift();
    }
    if (kind === 'restore-point') facts.push({ kind, ...place, name, timeMicros });
    if (kind === 'commit' || kind === 'abort')
      facts.push({ kind, ...place, xid, timeMicros, prepared: false, subtransactions: 0 });
    return facts;
  });
}

async function resolve(
  target: RecoveryTarget,
  records: readonly Rec[],
  options: { consistentAt?: bigint; stoppedMicros?: bigint; countLost?: boolean } = {},
): Promise<Resolution> {
  const consistentAt = lsn(options.consistentAt ?? REDO);
  const { stoppedMicros, countLost } = options;
  const end = records.at(-1)?.endLsn ?? REDO;
  async function* facts() {
    yield* factsOf(records, target, consistentAt);
  }
  const scan = { facts: facts(), position: () => end, ended: () => undefined };
  return resolveMoment(target, scan, { timeline: 1, redo: REDO, consistentAt, stoppedMicros }, { countLost });
}

interface Digest {
  readonly stopsAt: Lsn;
  readonly stops: string;
  readonly kept: number;
  readonly lost: number | undefined;
  readonly lastKept: TransactionPoint | undefined;
  readonly firstLost: TransactionPoint | undefined;
}

const digest = ({ stopsAt, stops, committedKept, committedLost, lastKept, firstLost }: Moment): Digest => ({
  stopsAt,
  stops,
  kept: committedKept,
  lost: committedLost,
  lastKept,
  firstLost,
});

/** PerformWalRecovery() of PostgreSQL, line by line: what it keeps and where it stops, or that it ends with FATAL. */
function oracle(target: RecoveryTarget, records: readonly Rec[], consistentAt: Lsn): Digest | 'FATAL' {
  let replayed: Lsn = REDO;
  let applied = 0;
  let stops: string | undefined;
  const reachedConsistency = (): boolean => replayed >= consistentAt;
  const stopsBefore = (record: Rec): boolean => {
    if (target.kind === 'immediate' && reachedConsistency()) return true;
    if (target.kind === 'lsn' && !target.inclusive && record.lsn >= target.lsn) return true;
    if (record.kind !== 'commit' && record.kind !== 'abort') return false;
    let here = false;
    if (target.kind === 'xid' && !target.inclusive) here = record.xid === target.xid;
    if (target.kind === 'time')
      here = target.inclusive ? record.micros > target.micros : record.micros >= target.micros;
    return here;
  };
  const stopsAfter = (record: Rec): boolean => {
    if (target.kind === 'name' && record.kind === 'restore-point' && record.name === target.name) return true;
    if (target.kind === 'lsn' && target.inclusive && record.lsn >= target.lsn) return true;
    if (record.kind === 'other' || record.kind === 'restore-point') return false;
    if (record.kind !== 'xact' && target.kind === 'xid' && target.inclusive && record.xid === target.xid) return true;
    return target.kind === 'immediate' && reachedConsistency();
  };
  for (const record of records) {
    if (stopsBefore(record)) {
      stops = 'before';
      break;
    }
    replayed = record.endLsn;
    applied += 1;
    if (stopsAfter(record)) {
      stops = 'after';
      break;
    }
  }
  if ((stops === undefined && target.kind !== 'latest') || !reachedConsistency()) return 'FATAL';
  const commits = (part: readonly Rec[]): TransactionPoint[] =>
    part
      .filter(({ kind }) => kind === 'commit')
      .map((record) => ({ xid: record.xid, timeMicros: record.micros, lsn: record.lsn }));
  const [kept, lost] = [commits(records.slice(0, applied)), commits(records.slice(applied))];
  return {
    stopsAt: replayed,
    stops: stops ?? 'at-end',
    kept: kept.length,
    lost: lost.length,
    lastKept: kept.at(-1),
    firstLost: lost[0],
  };
}

const drafts = fc.array(
  fc.record({
    kind: fc.constantFrom('commit', 'commit', 'abort', 'restore-point', 'other', 'xact'),
    xid: fc.integer({ min: 100, max: 120 }),
    // Commit times are not in commit order: transactions take them before they write the record.
    micros: fc.bigInt({ min: 50n, max: 70n }),
    name: fc.constantFrom('a', 'b', 'c'),
    gap: fc.constantFrom(0, 0, 0, 24),
    size: fc.constantFrom(24, 40, 200),
  }),
  { maxLength: 25 },
);
const position = fc.bigInt({ min: REDO - 10n, max: REDO + 2500n }).map(lsn);
const inclusive = fc.boolean();
const targets: fc.Arbitrary<RecoveryTarget> = fc.oneof(
  fc.record({
    kind: fc.constant('time' as const),
    inclusive,
    micros: fc.bigInt({ min: 49n, max: 71n }),
    text: fc.constant(''),
    utc: fc.constant(''),
  }),
  fc.record({ kind: fc.constant('xid' as const), inclusive, xid: fc.integer({ min: 99, max: 121 }) }),
  fc.record({ kind: fc.constant('lsn' as const), inclusive, lsn: position }),
  fc.record({ kind: fc.constant('name' as const), name: fc.constantFrom('a', 'b', 'c', 'd') }),
  fc.constant({ kind: 'immediate' as const }),
  fc.constant({ kind: 'latest' as const }),
);

describe('resolveMoment', () => {
  it('stops where the redo loop of PostgreSQL stops, and refuses what it refuses', async () => {
    await fc.assert(
      fc.asyncProperty(drafts, targets, position, async (shapes, target, near) => {
        const records = layOut(shapes);
        // The end of a backup is the end of a record.
        const consistentAt = records.find(({ endLsn }) => endLsn >= near)?.endLsn ?? near;
        const resolution = await resolve(target, records, { consistentAt, countLost: true });
        expect(resolution.reachable ? digest(resolution.moment) : 'FATAL').toEqual(
          oracle(target, records, consistentAt),
        );
      }),
      { numRuns: 1500 },
    );
  });

  it('keeps of several transactions of one instant all with the time, and none without it', async () => {
    const records = layOut([commit(5, 10n), commit(6, 20n), commit(4, 20n), commit(7, 21n)]);
    const time = { kind: 'time', micros: 20n, text: '', utc: '' } as const;
    const kept = requireMoment(await resolve({ ...time, inclusive: true }, records));
    expect([kept.lastKept?.xid, kept.firstLost?.xid, kept.committedLost]).toEqual([4, 7, undefined]);
    const without = requireMoment(await resolve({ ...time, inclusive: false }, records));
    expect([without.lastKept?.xid, without.firstLost?.xid]).toEqual([5, 6]);
  });

  it('stops at the end of a transaction that aborts, and says so', async () => {
    const records = layOut([commit(5, 10n), { kind: 'abort', xid: 6, micros: 11n }, commit(7, 12n)]);
    const moment = requireMoment(await resolve({ kind: 'xid', xid: 6, inclusive: true }, records));
    expect(moment).toMatchObject({
      stops: 'after',
      stopsAt: records[1]?.endLsn,
      decidedBy: { xid: 6, ended: 'abort' },
    });
  });

  it('follows promotions to the timeline that replay is on when it stops', async () => {
    const target = { kind: 'latest' } as const;
    const place = { lsn: lsn(2000n), endLsn: lsn(2040n), previousEndLsn: lsn(2000n) };
    async function* facts(): AsyncGenerator<WalFact> {
      yield { kind: 'end-of-recovery', ...place, timeline: 2, previousTimeline: 1, timeMicros: 0n };
      yield { kind: 'checkpoint', ...place, redo: lsn(2000n), shutdown: true, timeline: 4, previousTimeline: 2 };
    }
    const scan = { facts: facts(), position: () => lsn(2040n), ended: () => undefined };
    const resolution = await resolveMoment(target, scan, { timeline: 1, redo: REDO, consistentAt: REDO });
    expect(requireMoment(resolution).timeline).toBe(4);
  });

  it('reads no further than the first transaction that is lost', async () => {
    const taken: number[] = [];
    async function* facts(): AsyncGenerator<WalFact> {
      for (const fact of factsOf(
        layOut([1, 2, 3, 4, 5].map((n) => commit(n + 4, BigInt(n)))),
        { kind: 'latest' },
        REDO,
      )) {
        if (fact.kind === 'commit') taken.push(fact.xid);
        yield fact;
      }
    }
    const scan = { facts: facts(), position: () => REDO, ended: () => undefined };
    await resolveMoment({ kind: 'xid', xid: 6, inclusive: true }, scan, {
      timeline: 1,
      redo: REDO,
      consistentAt: REDO,
    });
    expect(taken).toEqual([5, 6, 7]);
  });

  it.each<[string, RecoveryTarget, Draft[], Pick<WhyNot, 'reason' | 'code' | 'mayBeEarlier'>]>([
    [
      'a time after the last transaction',
      { kind: 'time', micros: 30n, inclusive: true, text: '', utc: '' },
      [commit(5, 30n)],
      { reason: 'after-end', code: 'TARGET_UNREACHABLE', mayBeEarlier: false },
    ],
    [
      'an LSN beyond the end',
      { kind: 'lsn', lsn: lsn(99_999n), inclusive: true },
      [commit(5, 30n)],
      { reason: 'after-end', code: 'TARGET_UNREACHABLE', mayBeEarlier: false },
    ],
    [
      'an xid that is to come',
      { kind: 'xid', xid: 9, inclusive: true },
      [commit(5, 30n)],
      { reason: 'unknown-xid', code: 'TARGET_NOT_FOUND', mayBeEarlier: false },
    ],
    [
      'an xid of before the backup',
      { kind: 'xid', xid: 4, inclusive: true },
      [commit(5, 30n)],
      { reason: 'unknown-xid', code: 'TARGET_NOT_FOUND', mayBeEarlier: true },
    ],
    [
      'an xid that goes on',
      { kind: 'xid', xid: 9, inclusive: true },
      [{ kind: 'other', xid: 9 }, commit(5, 30n)],
      { reason: 'unfinished-xid', code: 'TARGET_UNREACHABLE', mayBeEarlier: false },
    ],
    [
      'a name',
      { kind: 'name', name: 'x' },
      [{ kind: 'restore-point', name: 'y' }],
      { reason: 'unknown-name', code: 'TARGET_NOT_FOUND', mayBeEarlier: true },
    ],
  ])('says why there is no %s', async (_, target, shapes, why) => {
    const resolution = await resolve(target, layOut(shapes));
    expect(resolution).toMatchObject({ reachable: false, why });
    expect(() => requireMoment(resolution)).toThrow(
      expect.objectContaining({ code: why.code, details: expect.objectContaining({ reason: why.reason }) }),
    );
  });

  it('gives the nearest point of a target after the end', async () => {
    const records = layOut([commit(5, 30n), { kind: 'abort', xid: 6, micros: 40n }]);
    const resolution = await resolve({ kind: 'time', micros: 50n, inclusive: true, text: '', utc: '' }, records);
    expect(resolution).toMatchObject({ nearest: { lastCommit: { xid: 5, timeMicros: 30n }, end: records[1]?.endLsn } });
  });

  it('refuses what lies before the end of the backup', async () => {
    const records = layOut([commit(5, 10n), commit(6, 20n), commit(7, 30n)]);
    const resolution = await resolve({ kind: 'xid', xid: 5, inclusive: true }, records, {
      consistentAt: records[1]?.endLsn ?? 0n,
    });
    expect(resolution).toMatchObject({
      why: { reason: 'before-consistency', code: 'TARGET_BEFORE_BACKUP', mayBeEarlier: true },
    });
    const latest = await resolve({ kind: 'latest' }, records, { consistentAt: 9999n });
    expect(latest).toMatchObject({ why: { reason: 'never-consistent', code: 'TARGET_UNREACHABLE' } });
  });

  it.each<[string, bigint, Draft[], object]>([
    ['before it, with later transactions after it', 15n, [commit(5, 30n)], { why: { reason: 'before-consistency' } }],
    ['before it, with nothing after it', 15n, [], { why: { reason: 'before-consistency', mayBeEarlier: true } }],
    ['before it by a clock that WAL proves wrong', 15n, [commit(5, 10n), commit(6, 30n)], { reachable: true }],
    ['after it', 25n, [commit(5, 30n)], { reachable: true }],
    ['after it and all transactions', 25n, [], { why: { reason: 'after-end', mayBeEarlier: false } }],
  ])('judges a backup that stopped at 20 for a time %s', async (_, micros, shapes, outcome) => {
    const target = { kind: 'time', micros, inclusive: true, text: '', utc: '' } as const;
    expect(await resolve(target, layOut(shapes), { stoppedMicros: 20n })).toMatchObject(outcome);
  });

  it('names the transaction whose part a subtransaction is', async () => {
    const place = { lsn: lsn(2000n), endLsn: lsn(2040n), previousEndLsn: lsn(2000n) };
    async function* facts(): AsyncGenerator<WalFact> {
      yield { kind: 'record', ...place, resourceManager: 10, xid: 12 };
      yield { kind: 'subtransaction', ...place, xid: 12, topXid: 10 };
    }
    const scan = { facts: facts(), position: () => lsn(2040n), ended: () => undefined };
    const target = { kind: 'xid', xid: 12, inclusive: true } as const;
    const resolution = await resolveMoment(target, scan, { timeline: 1, redo: REDO, consistentAt: REDO });
    expect(resolution).toMatchObject({ why: { reason: 'subtransaction', hint: expect.stringContaining('--xid 10') } });
  });

  it('names the restore points most like the one that is missing', async () => {
    const names = ['nightly', 'before_migration_41', 'Before-Migration-42', 'after_migration_42', 'zzz', 'y', 'yy'];
    const records = layOut(names.map((name) => ({ kind: 'restore-point', name })));
    const resolution = await resolve({ kind: 'name', name: 'before_migration_42' }, records);
    expect(resolution).toMatchObject({
      why: { hint: expect.stringContaining('"Before-Migration-42", "before_migration_41", "after_migration_42"') },
    });
  });
});
