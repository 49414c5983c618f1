import { formatLsn } from '@keyframe/contracts';
import { childHistory } from '@keyframe/postgres';
import { describe, expect, it } from 'vitest';
import { at, backup, BASE, DAY_MS, daysAgo, epochOf, factsOf, FIRST, NOW } from './expiry-facts.fixture.ts';
import type { BackupFact, ExpiryFacts, UnfinishedFact } from './facts.ts';
import { planExpiry } from './plan-expiry.ts';
import type { RetentionPolicy } from './policy.ts';

/** A backup every ten segments and days, the newest today: `d40` ended 40 days ago. */
const DECADES = [40, 30, 20, 10, 0].map((days) => backup(`d${days}`, 41 - days, days));
const DECADE_FACTS = factsOf(epochOf(DECADES, 42));

const kept = (facts: ExpiryFacts, policy: Partial<RetentionPolicy>): string[] =>
  planExpiry(facts, { ...BASE, ...policy }, NOW).kept.map(({ label }) => label);

describe('planExpiry', () => {
  it('keeps what is in the window, and the backup from which its first moment is reached', () => {
    expect(kept(DECADE_FACTS, { windowMs: 15 * DAY_MS })).toEqual(['d20', 'd10', 'd0']);
    expect(kept(DECADE_FACTS, { windowMs: 25 * DAY_MS })).toEqual(['d30', 'd20', 'd10', 'd0']);
  });

  it('keeps the last of each period, at its own end where no other rule wants more', () => {
    const plan = planExpiry(DECADE_FACTS, { ...BASE, count: 1, monthly: 2 }, NOW);
    expect(plan.kept.map(({ label, recovers }) => [label, recovers])).toEqual([
      ['d30', 'own-end'],
      ['d0', 'every-moment'],
    ]);
    expect(plan.after.map(({ backup: label, ownEnd }) => [label, ownEnd])).toEqual([
      ['d30', true],
      ['d0', true],
    ]);
  });

  it('keeps the WAL after them, too, when it is told to', () => {
    const plan = planExpiry(DECADE_FACTS, { ...BASE, monthly: 2, wal: 'all' }, NOW);
    expect(plan.wal).toMatchObject([{ first: 1, last: 10 }]);
    expect(plan.after).toMatchObject([{ backup: 'd30', ownEnd: false }]);
  });

  it('lets the WAL before and between go, and says how much', () => {
    const plan = planExpiry(DECADE_FACTS, { ...BASE, count: 1, monthly: 2 }, NOW);
    expect(plan.wal.map(({ first, last, segments, sizeBytes }) => [first, last, segments, sizeBytes])).toEqual([
      [1, 10, 10, 50],
      [13, 40, 28, 140],
    ]);
    expect(plan.goes.map(({ label, sizeBytes }) => [label, sizeBytes])).toEqual([
      ['d40', 110],
      ['d20', 110],
      ['d10', 110],
    ]);
    expect(plan.freedBytes).toBe(50 + 140 + 330);
  });

  it('keeps what the store locks, with its WAL, until a day after the lock', () => {
    const plan = planExpiry(DECADE_FACTS, { ...BASE, count: 1, lockedMs: 25 * DAY_MS }, NOW);
    expect(plan.kept.map(({ label }) => label)).toEqual(['d20', 'd10', 'd0']);
    expect(plan.kept[0]).toMatchObject({ recovers: 'every-moment', reasons: ['locked by the store'] });
    // Segments are archived one a day: those of the last 26 days stay whoever needs them.
    const none = planExpiry(
      factsOf(epochOf([backup('d0', 41, 0)], 42)),
      { ...BASE, count: 1, lockedMs: 25 * DAY_MS },
      NOW,
    );
    expect(none.wal.map(({ first, last }) => [first, last])).toEqual([[1, 15]]);
  });

  it('always keeps the newest that can be restored, whatever the rules', () => {
    expect(kept(DECADE_FACTS, { yearly: 1 })).toEqual(['d0']);
    // The newest has lost its WAL: it never takes the place of one that has it.
    const epoch = epochOf(DECADES, 41);
    expect(kept(factsOf(epoch), { count: 1 })).toEqual(['d10']);
  });

  it('counts full backups apart', () => {
    const mixed = DECADES.map((each, index): BackupFact => ({ ...each, type: index < 2 ? 'full' : 'incremental' }));
    expect(kept(factsOf(epochOf(mixed, 42)), { count: 1, minFull: 1 })).toEqual(['d30', 'd0']);
  });

  it('keeps packs of an expired backup that a kept one needs, and those alone', () => {
    const shared = [backup('old', 1, 40), backup('new', 41, 0, { others: ['old'] })];
    const labels = [
      {
        label: 'old',
        packs: new Map([
          [1, 100],
          [2, 70],
        ]),
        otherBytes: 10,
      },
      { label: 'new', packs: new Map([[1, 30]]), otherBytes: 10 },
      { label: 'older', packs: new Map([[4, 9]]), otherBytes: 0 },
    ];
    const { goes } = planExpiry(factsOf(epochOf(shared, 42, { labels })), { ...BASE, count: 1 }, NOW);
    expect(goes.map(({ label, kind, packs, sizeBytes }) => ({ label, kind, packs, sizeBytes }))).toEqual([
      { label: 'old', kind: 'backup', packs: [2], sizeBytes: 80 },
      { label: 'older', kind: 'packs', packs: [4], sizeBytes: 9 },
    ]);
  });

  it('marks nothing while it cannot know what a kept backup needs', () => {
    const epoch = epochOf([backup('old', 1, 40), backup('new', 41, 0, { uses: undefined })], 42);
    expect(planExpiry(factsOf(epoch), { ...BASE, count: 1 }, NOW).blocks).toHaveLength(1);
    // What an expired one needs is nobody's business any more.
    const gone = epochOf([backup('old', 1, 40, { uses: undefined }), backup('new', 41, 0)], 42);
    expect(planExpiry(factsOf(gone), { ...BASE, count: 1 }, NOW).blocks).toEqual([]);
  });

  it('keeps a held backup at its own end, and a held range with all WAL in it', () => {
    const hold = { id: 7, wal: false, reason: '', addedAt: daysAgo(1) };
    const byLabel = planExpiry({ ...DECADE_FACTS, holds: [{ ...hold, label: 'd40' }] }, { ...BASE, count: 1 }, NOW);
    expect(byLabel.kept[0]).toEqual({ epoch: 1, label: 'd40', recovers: 'own-end', reasons: ['hold 7'] });
    const range = { ...hold, from: daysAgo(28), to: daysAgo(25) };
    const byRange = planExpiry({ ...DECADE_FACTS, holds: [range] }, { ...BASE, count: 1 }, NOW);
    expect(byRange.kept.map(({ label }) => label)).toEqual(['d30', 'd0']);
    // The next backup began after the range: its start says that all of the range lies before.
    expect(byRange.wal.map(({ first, last }) => [first, last])).toEqual([
      [1, 10],
      [22, 40],
    ]);
    expect(formatLsn(byRange.after[0]?.toLsn ?? at(0))).toBe(formatLsn(at(22, 0)));
  });

  it('lets a hold that has ended go', () => {
    const ended = { id: 7, label: 'd40', wal: false, until: daysAgo(0.01), reason: '', addedAt: daysAgo(1) };
    expect(kept({ ...DECADE_FACTS, holds: [ended] }, { count: 1 })).toEqual(['d0']);
  });

  it('keeps what a restore reads and what a running backup builds on', () => {
    const running: UnfinishedFact = {
      epoch: 1,
      label: 'now',
      startedAt: daysAgo(0),
      bases: ['d10'],
      state: 'running',
      complete: false,
    };
    const facts = factsOf(epochOf(DECADES, 42, { unfinished: [running] }), { restoring: [{ epoch: 1, label: 'D20' }] });
    const plan = planExpiry(facts, { ...BASE, count: 1 }, NOW);
    expect(plan.kept.map(({ label, reasons }) => [label, reasons[0]])).toEqual([
      ['d20', 'it is being restored'],
      ['d10', 'backup now builds on it'],
      ['d0', 'one of the last 1'],
    ]);
    expect(plan.spared.map(({ label }) => label)).toEqual(['now']);
  });

  it('lets the remains of a backup that was given up go, unless only its publication is missing', () => {
    const given: UnfinishedFact = {
      epoch: 1,
      label: 'u',
      startedAt: daysAgo(3),
      bases: [],
      state: 'given-up',
      complete: false,
    };
    const plan = (unfinished: UnfinishedFact) => {
      const base = epochOf(DECADES, 42);
      const labels = [...base.labels, { label: 'u', packs: new Map([[1, 50]]), otherBytes: 1 }];
      return planExpiry(factsOf({ ...base, labels, unfinished: [unfinished] }), { ...BASE, windowMs: 5 * DAY_MS }, NOW);
    };
    expect(plan(given).goes.at(-1)).toMatchObject({ label: 'u', kind: 'unfinished', packs: [1], sizeBytes: 51 });
    expect(plan({ ...given, complete: true }).spared).toMatchObject([{ label: 'u' }]);
    expect(plan({ ...given, complete: true, startedAt: daysAgo(30) }).spared).toEqual([]);
  });
});

describe('timelines', () => {
  // Timeline 2 leaves timeline 1 in segment 20, three weeks ago; timeline 1 goes on to segment 30.
  const second = childHistory(FIRST, { timeline: 2, end: at(20, 4096), reason: '' });
  const base = epochOf([backup('before', 10, 32), backup('after', 35, 7, { timeline: 2 })], 30, {
    histories: [FIRST, second],
  });
  const numbers = Array.from({ length: 23 }, (_, index) => index + 20);
  const branch = {
    numbers,
    sizes: numbers.map(() => 5),
    modifiedMs: numbers.map((n) => NOW.getTime() - (42 - n) * DAY_MS),
  };
  const old = base.timelines.get(1);
  const facts = factsOf({
    ...base,
    timelines: new Map([
      [
        1,
        {
          numbers: old?.numbers ?? [],
          sizes: old?.sizes ?? [],
          modifiedMs: (old?.numbers ?? []).map((n) => NOW.getTime() - (42 - n) * DAY_MS),
        },
      ],
      [2, branch],
    ]),
  });

  it('of a branch that was left are kept as long as it has moments in the window', () => {
    const plan = planExpiry(facts, { ...BASE, windowMs: 20 * DAY_MS }, NOW);
    expect(plan.kept.map(({ label }) => label)).toEqual(['before', 'after']);
    expect(plan.wal.map(({ timeline, first, last }) => [timeline, first, last])).toEqual([[1, 1, 9]]);
    expect(plan.after.map(({ timeline, backup: label }) => [timeline, label])).toEqual([
      [1, 'before'],
      [2, 'before'],
    ]);
  });

  it('go with their WAL when nothing of them is wanted', () => {
    const plan = planExpiry(facts, { ...BASE, windowMs: 5 * DAY_MS }, NOW);
    expect(plan.kept.map(({ label }) => label)).toEqual(['after']);
    expect(plan.wal.map(({ timeline, first, last }) => [timeline, first, last])).toEqual([
      [1, 1, 30],
      [2, 20, 34],
    ]);
  });

  it('without a history file are left alone: nobody can say what their WAL belongs to', () => {
    const [epoch = base] = facts.epochs;
    const plan = planExpiry(factsOf({ ...epoch, histories: [FIRST] }), { ...BASE, count: 1 }, NOW);
    expect(plan.wal.every(({ timeline }) => timeline === 1)).toBe(true);
  });
});
