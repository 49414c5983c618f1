import { parseLsn } from '@keyframe/contracts';
import { describe, expect, test } from 'vitest';
import { differences } from './ledger-check.ts';
import { describeTarget, formatMicros, type LedgerTarget, Oracle, recoverySettings } from './ledger-oracle.ts';
import {
  parseHistoryFile,
  parseWaldumpLine,
  recordsOfPath,
  type TransactionEnd,
  type WalRecord,
} from './ledger-waldump.ts';
import { Random } from './random.ts';

const line = (manager: string, tx: number, at: string, previous: string, desc: string): string =>
  `rmgr: ${manager.padEnd(11)} len (rec/tot):     34/    34, tx:${String(tx).padStart(11)}, ` +
  `lsn: ${at}, prev ${previous}, desc: ${desc}`;
const parse = (...parts: Parameters<typeof line>): WalRecord | undefined => parseWaldumpLine(line(...parts));
const micros = (iso: string, more = 0): bigint => BigInt(Date.parse(iso)) * 1000n + BigInt(more);

describe('a line of pg_waldump', () => {
  const place = { lsn: parseLsn('0/18ECA08'), previous: parseLsn('0/18EC9C8') };
  const at = ['0/018ECA08', '0/018EC9C8'] as const;

  test('tells a commit with its subtransactions and its time to the microsecond', () => {
    const desc =
      'COMMIT 2026-11-24 05:47:59.942237 UTC; rels: base/5/1 base/5/2; subxacts: 735 736; inval msgs: catcache 7';
    const timeMicros = micros('2026-11-24T05:47:59Z', 942_237);
    expect(parse('Transaction', 734, ...at, desc)).toEqual({
      kind: 'commit',
      xid: 734,
      subxids: [735, 736],
      timeMicros,
      ...place,
    });
  });

  test.each([
    ['COMMIT_PREPARED 738: 2026-11-24 05:47:59.942973 UTC; subxacts: 739', 'commit', 738, [739]],
    ['ABORT_PREPARED 740: 2026-11-24 05:47:59.943047 UTC', 'abort', 740, []],
    ['ABORT 2026-11-24 05:47:59.942406 UTC', 'abort', 7, []],
  ])('%s', (desc, kind, xid, subxids) => {
    expect(parse('Transaction', 7, ...at, desc)).toMatchObject({ kind, xid, subxids });
  });

  test('tells restore points, the end of a backup and that there are others', () => {
    expect(parse('XLOG', 0, ...at, 'RESTORE_POINT my point')).toEqual({
      kind: 'restore-point',
      ...place,
      name: 'my point',
    });
    const backupStart = parseLsn('0/5000028');
    expect(parse('XLOG', 0, ...at, 'BACKUP_END 0/5000028')).toEqual({ kind: 'backup-end', ...place, backupStart });
    for (const desc of ['SWITCH ', 'CHECKPOINT_ONLINE redo 0/18CCB20; tli 1'])
      expect(parse('XLOG', 0, ...at, desc)).toEqual({ kind: 'other', ...place });
    expect(parse('Transaction', 7, ...at, 'PREPARE gid p: 2026-11-24 05:47:59.942657 UTC')).toEqual({
      kind: 'other',
      ...place,
    });
  });

  test('of another resource manager, or of talk, tells nothing', () => {
    expect(parse('Heap', 7, ...at, 'INSERT off 1 flags 0x00')).toBeUndefined();
    expect(parseWaldumpLine('first record is after 0/1000000, at 0/1000028, skipping over 40 bytes')).toBeUndefined();
  });

  test('is not guessed when the time cannot be read', () => {
    expect(() => parse('Transaction', 7, ...at, 'COMMIT 24.11.2026 05:47')).toThrow('cannot read');
    expect(() => parse('Transaction', 7, ...at, 'COMMIT 2026-11-24 05:47:59.942237 CET')).toThrow('cannot read');
  });
});

const commit = (position: number, xid: number, second: number, previous = position - 0x10): TransactionEnd => ({
  kind: 'commit',
  lsn: parseLsn(`0/${position.toString(16)}`),
  previous: parseLsn(`0/${previous.toString(16)}`),
  xid,
  subxids: [],
  timeMicros: micros('2026-01-01T00:00:00Z', second * 1_000_000),
});
const placed = (position: number): Pick<WalRecord, 'lsn' | 'previous'> => ({
  lsn: parseLsn(`0/${position.toString(16)}`),
  previous: parseLsn('0/0'),
});

const time = (seconds: number, inclusive = true, more = 0): LedgerTarget => ({
  kind: 'time',
  timeMicros: micros('2026-01-01T00:00:00Z', seconds * 1_000_000 + more),
  inclusive,
});
const lsn = (position: string, inclusive = true): LedgerTarget => ({
  kind: 'lsn',
  lsn: parseLsn(`0/${position}`),
  inclusive,
});

describe('the oracle', () => {
  // xid 12 commits before 11; 13's record comes after 14's although its time is earlier; 99 is not the ledger's.
  const first: WalRecord[] = [
    { kind: 'backup-end', backupStart: parseLsn('0/50'), ...placed(0x100) },
    commit(0x200, 10, 1),
    commit(0x300, 12, 2),
    { kind: 'restore-point', name: 'here', ...placed(0x380) },
    { ...commit(0x400, 15, 3), kind: 'abort' },
    commit(0x500, 11, 4),
    commit(0x600, 99, 5),
    commit(0x700, 14, 8),
    commit(0x800, 13, 7),
    commit(0x900, 16, 9),
  ];
  const second = [...first.slice(0, 3), commit(0x640, 12, 20), commit(0x740, 17, 21)];
  const history = '1\t0/620\tno recovery target specified\n';
  const wal = {
    byTimeline: new Map([
      [1, first],
      [2, second],
    ]),
    paths: new Map([
      [1, { timeline: 1, ancestors: [] }],
      [2, parseHistoryFile(2, history)],
    ]),
  };
  const oracle = new Oracle(
    wal,
    new Map([
      [1, new Set([10, 11, 12, 13, 14, 15, 16])],
      [2, new Set([12, 17])],
    ]),
  );
  const at = (target: LedgerTarget): number[] =>
    [...oracle.expectedAt({ timeline: 1, ...target }).xids].toSorted((a, b) => a - b);
  test.each<[string, LedgerTarget, number[]]>([
    ['on the time of a commit', time(2), [10, 12]],
    ['before the time of a commit', time(2, false), [10]],
    ['a microsecond earlier', time(2, true, -1), [10]],
    ['at the first later record, whatever follows', time(7), [10, 11, 12]],
    ['at an abort too', time(3, false), [10, 12]],
    ['with a transaction', { kind: 'xid', xid: 12, inclusive: true }, [10, 12]],
    ['before a transaction', { kind: 'xid', xid: 12, inclusive: false }, [10]],
    ['with a lower xid that commits later', { kind: 'xid', xid: 11, inclusive: true }, [10, 11, 12]],
    ['with the record at an LSN', lsn('500'), [10, 11, 12]],
    ['with the first record after an LSN', lsn('4f8'), [10, 11, 12]],
    ['with a record that we do not see', lsn('4e8'), [10, 12]],
    ['before the record at an LSN', lsn('500', false), [10, 12]],
    ['at a restore point', { kind: 'name', name: 'here' }, [10, 12]],
    ['at the end of the backup', { kind: 'immediate', backupStart: parseLsn('0/50') }, []],
    ['at the end', { kind: 'latest' }, [10, 11, 12, 13, 14, 16]],
  ])('stops %s', (_, target, expected) => {
    expect(at(target)).toEqual(expected);
    expect(oracle.expectedAt({ timeline: 1, ...target }).reached).toBe(true);
  });

  test('knows that a target is not reached', () => {
    const none: LedgerTarget[] = [
      time(9),
      { kind: 'xid', xid: 55, inclusive: true },
      { kind: 'name', name: 'x' },
      lsn('901'),
    ];
    for (const target of none) expect(oracle.expectedAt({ timeline: 1, ...target }).reached).toBe(false);
  });

  test('follows the newest timeline, without the dead branch', () => {
    expect(at({ kind: 'latest', timeline: 2 })).toEqual([10, 11, 12, 17]);
    expect(at({ kind: 'xid', xid: 17, inclusive: false, timeline: 2 })).toEqual([10, 11, 12]);
    expect(oracle.timelines).toEqual([1, 2]);
    expect(oracle.expectedAt({ kind: 'latest' })).toEqual(oracle.expectedAt({ kind: 'latest', timeline: 2 }));
  });

  test('draws every kind of target, reachable and after the backup, the same for the same seed', () => {
    const options = { from: parseLsn('0/250'), backupStart: parseLsn('0/50'), timeline: 1 };
    const targets = oracle.randomTargets(20, new Random(7), options);
    expect(targets).toEqual(oracle.randomTargets(20, new Random(7), options));
    expect(new Set(targets.map(({ kind }) => kind))).toEqual(new Set(['time', 'xid', 'lsn', 'name', 'latest']));
    expect(new Set(targets.map(describeTarget)).size).toBe(20);
    for (const target of targets) {
      const { reached, stop } = oracle.expectedAt(target);
      expect([reached, stop >= options.from]).toEqual([true, true]);
    }
    const all = oracle.randomTargets(9, new Random(7), { ...options, from: parseLsn('0/100') });
    expect(all.map(({ kind }) => kind)).toContain('immediate');
  });

  test('says a target in the words of PostgreSQL', () => {
    expect(recoverySettings(time(2, false, 5))).toEqual({
      recovery_target_timeline: 'latest',
      recovery_target_inclusive: 'off',
      recovery_target_time: '2026-01-01 00:00:02.000005+00',
    });
    expect(recoverySettings({ kind: 'lsn', lsn: parseLsn('0/4F8'), inclusive: true, timeline: 2 })).toEqual({
      recovery_target_timeline: '2',
      recovery_target_inclusive: 'on',
      recovery_target_lsn: '0/4F8',
    });
    expect(formatMicros(1n)).toBe('1970-01-01 00:00:00.000001+00');
  });

  test('takes a record that two timelines hold once', () => {
    const lsns = recordsOfPath(parseHistoryFile(2, history), wal.byTimeline).map((record) => Number(record.lsn));
    expect(lsns).toEqual([0x100, 0x200, 0x300, 0x380, 0x400, 0x500, 0x600, 0x640, 0x740]);
  });
});

test('differences name what is missing, what is too many and what is torn', () => {
  const state = { xids: new Set([1, 2]), chain: 0, problems: ['torn'] };
  expect(differences(state, new Set([2, 3]))).toEqual([
    '1 transactions missing: 3',
    '1 transactions too many: 1',
    'torn',
  ]);
  expect(differences({ ...state, problems: [] }, new Set([1, 2]))).toEqual([]);
});

const draw = (seed: number): number[] => {
  const random = new Random(seed);
  return Array.from({ length: 1000 }, () => random.between(3, 9));
};

test('randomness is reproducible, in range and not constant', () => {
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1)).not.toEqual(draw(2));
  expect(new Set(draw(1))).toEqual(new Set([3, 4, 5, 6, 7, 8, 9]));
});
