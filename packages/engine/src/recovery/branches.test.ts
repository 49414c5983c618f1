import { hasCode, KeyframeError, lsn } from '@keyframe/contracts';
import { parseTimelineHistory } from '@keyframe/postgres';
import { expect, it } from 'vitest';
import { branchesBeside, withBranches } from './branches.ts';

/** Forked from 1 in segment 3, from 2 in segment 5. */
const history = parseTimelineHistory('00000003.history', '1\t0/3800000\twhy\n2\t0/5800000\twhy\n');

/** The newest segment of each timeline. */
const inventoryOf = (newest: Readonly<Record<number, bigint>>) => ({
  segmentSizeBytes: 16 << 20,
  timelines: Object.keys(newest).map(Number),
  ranges: (timeline: number) => [{ first: 1n, last: newest[timeline] ?? 0n }],
});

it.each([
  ['nothing where each parent ends at its fork', { 1: 3n, 2: 5n, 3: 9n }, []],
  ['a parent that went on', { 1: 7n, 2: 5n, 3: 9n }, [{ timeline: 1, newest: '000000010000000000000007' }]],
  ['another family', { 1: 3n, 2: 5n, 3: 9n, 4: 4n }, [{ timeline: 4, newest: '000000040000000000000004' }]],
])('beside a timeline there is %s', (_, newest, branches) => {
  expect(branchesBeside(history, inventoryOf(newest))).toEqual(branches);
});

it('a refusal names the branches that were not followed, other faults do not', () => {
  const branches = [{ timeline: 2, newest: '000000020000000000000030' }];
  const refused = new KeyframeError('TARGET_NOT_FOUND', 'no such xid', {
    hint: 'Check it.',
    details: { end: String(lsn(1n)) },
  });
  const told = withBranches(refused, 3, branches);
  expect(hasCode(told, 'TARGET_NOT_FOUND')).toBe(true);
  expect(told.hint).toBe('Check it. Timeline 3 was followed, the newest; --timeline 2 follows another branch.');
  expect(told.details).toMatchObject({ end: '1', followed: 3, others: '2' });
  const broken = new KeyframeError('UNAVAILABLE', 'the store is away');
  expect(withBranches(broken, 3, branches)).toBe(broken);
  expect(withBranches(refused, 3, [])).toBe(refused);
});
