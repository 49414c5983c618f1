import type { Tombstone, WalTombstone } from '@keyframe/repository';
import { describe, expect, it } from 'vitest';
import { type Due, type DueRemoval, dueRemoval } from './due-removal.ts';
import { backup, BASE, daysAgo, epochOf, factsOf, NOW } from './expiry-facts.fixture.ts';
import type { ExpiryFacts, UnfinishedFact } from './facts.ts';
import { evaluate } from './plan-expiry.ts';

const POLICY = { ...BASE, count: 1 };

const mark = (label: string, more: Partial<Tombstone> = {}): Tombstone => ({
  epoch: 1,
  label,
  kind: 'backup',
  packs: [1],
  phase: 'marked',
  markedAt: daysAgo(2),
  since: 1,
  reason: '',
  ...more,
});
const wal = (first: number, last: number): WalTombstone => ({
  epoch: 1,
  timeline: 1,
  first,
  last,
  markedAt: daysAgo(2),
  since: 1,
});

function removal(facts: ExpiryFacts, due: Partial<Due>): DueRemoval {
  const evaluation = evaluate(facts, POLICY, NOW);
  return dueRemoval({ backups: [], wal: [], ...due }, { facts, evaluation, policy: POLICY, now: NOW });
}

const unfinished = (more: Partial<UnfinishedFact> = {}): UnfinishedFact => ({
  epoch: 1,
  label: 'u',
  startedAt: daysAgo(3),
  bases: [],
  state: 'given-up',
  complete: false,
  ...more,
});

describe('dueRemoval', () => {
  const three = epochOf([backup('a', 1, 40), backup('b', 21, 20, { others: ['a'] }), backup('c', 41, 0)], 42);

  it('takes a backup that is due, with its packs and the WAL that nothing else needs', () => {
    const { labels, packs, walRanges } = removal(factsOf(three), {
      backups: [mark('a'), mark('b')],
      wal: [wal(1, 40)],
    });
    expect(labels.map(({ label }) => label)).toEqual(['a', 'b']);
    expect(packs.map(({ label }) => label)).toEqual(['a', 'b']);
    expect(walRanges).toMatchObject([{ first: 1, last: 40, segments: 40, sizeBytes: 200 }]);
  });

  it('leaves packs and WAL to a backup that is only marked: it can still be brought back', () => {
    const { labels, packs, walRanges } = removal(factsOf(three), { backups: [mark('a')], wal: [wal(1, 40)] });
    expect(labels.map(({ label }) => label)).toEqual(['a']);
    expect(packs).toEqual([]);
    expect(walRanges).toMatchObject([{ first: 1, last: 20 }]);
  });

  it('leaves packs alone that an unfinished backup owns or may come to name, as long as it can finish', () => {
    const open = unfinished({ bases: ['b'] });
    const labels = [...three.labels, { label: 'u', packs: new Map([[1, 5]]), otherBytes: 1 }];
    const facts = factsOf({ ...three, labels, unfinished: [open] });
    const due = [mark('a'), mark('b'), mark('u', { kind: 'packs' })];
    expect(removal(facts, { backups: due }).packs).toEqual([]);
    // Due itself, it has no more say.
    const all = [...due.slice(0, 2), mark('u', { kind: 'unfinished' })];
    expect(removal(facts, { backups: all }).packs.map(({ label }) => label)).toEqual(['a', 'b', 'u']);
  });

  it('leaves WAL alone that was archived since a day before an unfinished backup began', () => {
    const facts = factsOf({ ...three, unfinished: [unfinished({ startedAt: daysAgo(10) })] });
    expect(removal(facts, { backups: [mark('a'), mark('b')], wal: [wal(1, 40)] }).walRanges).toMatchObject([
      { first: 1, last: 30 },
    ]);
  });

  it('takes nothing that the plan wants by now', () => {
    const hold = { id: 1, label: 'a', wal: true, reason: '', addedAt: daysAgo(1) };
    const { labels, packs, walRanges } = removal(factsOf(three, { holds: [hold] }), {
      backups: [mark('a')],
      wal: [wal(1, 40)],
    });
    expect([labels, packs, walRanges]).toEqual([[], [], []]);
  });

  it('takes what an earlier run had decided, whatever the plan wants by now', () => {
    const hold = { id: 1, label: 'a', wal: true, reason: '', addedAt: daysAgo(1) };
    const entry = mark('a', { phase: 'removing', token: 'x' });
    const facts = factsOf(three, { holds: [hold], tombstones: { backups: [entry], wal: [] } });
    expect(removal(facts, { backups: [entry] }).labels).toEqual([{ epoch: 1, label: 'a' }]);
  });

  it('says when it cannot know what a backup that stays needs', () => {
    const blind = epochOf([backup('a', 1, 40), backup('c', 41, 0, { uses: undefined })], 42);
    expect(removal(factsOf(blind), { backups: [mark('a')] }).unknown).toEqual(['c']);
  });
});
