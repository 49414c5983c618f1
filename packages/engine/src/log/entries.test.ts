import { lsn } from '@keyframe/contracts';
import type { RelationEffect, SegmentIndex, TransactionEffect } from '@keyframe/wal';
import { describe, expect, it } from 'vitest';
import { describeEntry } from './describe-entry.ts';
import { EntryReader } from './entries.ts';
import { entryFilter } from './filter.ts';
import { parseLogRequest } from './log-request.ts';

const ORDERS = { tablespace: 1663, database: 5, relfilenode: 16_400 };
const TOAST = { ...ORDERS, relfilenode: 16_403 };
const CATALOGUE = { ...ORDERS, relfilenode: 1249 };
const STRANGER = { ...ORDERS, relfilenode: 17_000 };

const rows = (relation: RelationEffect['relation'], parts: Partial<RelationEffect>): RelationEffect => ({
  relation,
  inserted: 0,
  updated: 0,
  deleted: 0,
  pages: 1,
  ...parts,
});

function transaction(xid: number, parts: Partial<TransactionEffect>): TransactionEffect {
  const at = lsn(BigInt(xid) * 100n);
  const none = { subtransactions: [], tables: [], created: [], dropped: [], truncated: [], messages: [] };
  const place = { lsn: at, endLsn: lsn(at + 34n), firstLsn: at, timeMicros: BigInt(xid) * 1_000_000n, database: 5 };
  return { xid, topXid: 0, outcome: 'commit', prepared: false, partial: false, ...place, ...none, ...parts };
}

function segment(
  transactions: readonly TransactionEffect[],
  notes?: object,
  parts: Partial<SegmentIndex> = {},
): SegmentIndex {
  return {
    timeline: 1,
    startLsn: lsn(0n),
    endLsn: lsn(16n << 20n),
    records: 1,
    commits: transactions.length,
    aborts: 0,
    times: undefined,
    xids: undefined,
    transactions,
    folded: [],
    relations: [],
    facts: [],
    fault: undefined,
    notes:
      notes === undefined
        ? undefined
        : Buffer.from(JSON.stringify({ format: 1, relations: [], transactions: [], ...notes })),
    ...parts,
  };
}

const NAMES = {
  relations: [
    [1663, 5, 16_400, 16_400, 'shop', 'public', 'purchases', 'rp', 1000, null, null, [['0/2BC', 'public', 'orders']]],
    [1663, 5, 16_403, 16_403, 'shop', 'pg_toast', 'pg_toast_16400', 'tp', 0, 'public', 'purchases'],
  ],
};

describe('entries', () => {
  it('call a table as it was called then, leave out TOAST and catalogues, and show a stranger by its numbers', () => {
    const tables = [rows(TOAST, { inserted: 9 }), rows(CATALOGUE, { inserted: 3 }), rows(ORDERS, { inserted: 2 })];
    const effects = [
      transaction(6, { tables }),
      transaction(8, { tables: [rows(ORDERS, { updated: 1 })] }),
      transaction(9, { tables: [rows(STRANGER, { deleted: 4 })] }),
    ];
    const did = new EntryReader().read(segment(effects, NAMES)).map(describeEntry);
    expect(did).toEqual([
      ['INSERT 2 rows · public.orders'],
      ['UPDATE 1 row · public.purchases'],
      ['DELETE 4 rows · relation 1663/5/17000'],
    ]);
  });

  it('get the name of a stranger that is learnt later', () => {
    const reader = new EntryReader();
    const [early] = reader.read(segment([transaction(9, { tables: [rows(ORDERS, { deleted: 4 })] })]));
    reader.read(segment([], NAMES));
    expect(early === undefined ? [] : describeEntry(reader.named(early))).toEqual(['DELETE 4 rows · public.purchases']);
  });

  it('leave out rows that were only written anew', () => {
    const notes = {
      ...NAMES,
      transactions: [[8, '0/320', [{ verb: 'alter', object: 'TABLE', name: 'public.purchases' }], [16_400]]],
    };
    const [entry] = new EntryReader().read(
      segment([transaction(8, { tables: [rows(ORDERS, { inserted: 900 })] })], notes),
    );
    expect(entry === undefined ? [] : describeEntry(entry)).toEqual(['ALTER TABLE public.purchases']);
  });

  it('are marked by their share of the table, by what is usual there, and when something is gone', () => {
    const reader = new EntryReader();
    const usual = Array.from({ length: 25 }, (_, each) =>
      transaction(100 + each, { tables: [rows(STRANGER, { deleted: 6 })] }),
    );
    const drop = { verb: 'drop', object: 'TABLE', name: 'public.gone', rows: 5000 };
    const notes = { ...NAMES, transactions: [[203, '0/4F4C', [drop, { ...drop, object: 'INDEX', minor: true }]]] };
    const effects = [
      ...usual,
      transaction(200, { tables: [rows(ORDERS, { deleted: 900 })] }),
      transaction(201, { tables: [rows(STRANGER, { deleted: 600 })] }),
      transaction(202, { tables: [rows(ORDERS, { deleted: 99, inserted: 50_000 })] }),
      transaction(203, {}),
      transaction(204, { tables: [rows(ORDERS, { deleted: 900 })], outcome: 'abort' }),
    ];
    // Never analyzed, and nothing was ever deleted from it.
    const other = { ...STRANGER, relfilenode: 17_001 };
    for (const [xid, deleted] of [
      [205, 999],
      [206, 30_000],
    ] as const)
      effects.push(transaction(xid, { tables: [rows(other, { deleted })] }));
    const marked = reader
      .read(segment(effects, notes))
      .flatMap(({ xid, suspicious }) => suspicious.map((why) => [xid, why]));
    expect(marked).toEqual([
      [200, 'deletes 90 % of public.purchases, which had about 1,000 rows'],
      [201, 'deletes 100 times the rows that are usual in relation 1663/5/17000'],
      [203, 'drops public.gone, about 5,000 rows'],
      [206, 'deletes 30,000 rows of relation 1663/5/17001 at once; how many it had is not known'],
    ]);
  });
});

describe('a filter', () => {
  const [entry] = new EntryReader().read(
    segment([transaction(8, { tables: [rows(ORDERS, { updated: 30 })], subtransactions: [12] })], NAMES),
  );
  const [aborted] = new EntryReader().read(segment([transaction(9, { outcome: 'abort' })]));
  const now = (): Date => new Date(60_000);
  const passes = (options: Parameters<typeof parseLogRequest>[0], what = entry): boolean =>
    what !== undefined && entryFilter(parseLogRequest(options, { now }))(what);

  it.each([
    [{ table: 'purchases' }, true],
    [{ table: 'public.purchases' }, true],
    [{ table: 'public.*' }, true],
    [{ table: 'purch*' }, true],
    [{ table: 'orders' }, false],
    [{ table: 'private.*' }, false],
    [{ minRows: 30 }, true],
    [{ minRows: 31 }, false],
    [{ ddl: true }, false],
    [{ xid: '8' }, true],
    [{ xid: '12' }, true],
    [{ xid: '9' }, false],
    [{ since: '1970-01-01 00:00:08Z', until: '1970-01-01 00:00:08Z' }, true],
    [{ since: '1970-01-01 00:00:08.1Z' }, false],
    [{ until: '1970-01-01 00:00:07.9Z' }, false],
  ])('%j: %s', (options, expected) => {
    expect(passes(options)).toBe(expected);
  });

  it('shows what was rolled back only when that is asked for', () => {
    expect([passes({}, aborted), passes({ all: true }, aborted), passes({ xid: '9' }, aborted)]).toEqual([
      false,
      true,
      true,
    ]);
  });

  it('refuses times in the wrong order and a table without a name', () => {
    const wrong = expect.objectContaining({ code: 'INVALID_OPTION' });
    expect(() => passes({ since: '1m ago', until: '2m ago' })).toThrow(wrong);
    expect(() => passes({ table: ' ' })).toThrow(wrong);
  });
});

it.each([
  ['since', '--since: "yesterdayy" is no time'],
  ['until', '--until: "yesterdayy" is no time'],
])('a time that cannot be read is told in the words of --%s', (name, message) => {
  const ask = (): unknown => parseLogRequest({ [name]: 'yesterdayy' }, { now: () => new Date(0) });
  expect(ask).toThrow(message);
  const hint: unknown = expect.stringContaining(`--${name} "`);
  expect(ask).toThrow(expect.objectContaining({ hint }));
});
