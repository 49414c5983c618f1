import type { SqlOptions } from './cluster.ts';

interface Queryable {
  sql(query: string, options?: SqlOptions): Promise<string>;
}

/** What a ledger on some server holds. */
export interface LedgerState {
  readonly xids: ReadonlySet<number>;
  /** Rows of the hash chain. */
  readonly chain: number;
  /** Torn transactions, breaks of the hash chain, money made or lost. Empty when all is well. */
  readonly problems: readonly string[];
}

const CHECKS = `
select 'transaction ' || xid || ' has rows ' || string_agg(part::text, ',' order by part) || ' of ' || max(parts)
from ledger group by xid
having array_agg(part order by part) <> (select array_agg(n) from generate_series(1, max(parts)) n);
select 'chain row ' || n || ' does not follow row ' || n - 1 from (
  select *, lag(hash, 1, 'start') over (order by n) as wanted, row_number() over (order by n) as place
  from ledger_chain) c
where place <> n or previous <> wanted or hash <> md5(previous || ' ' || n || ' ' || xid);
select 'chain row ' || n || ' of transaction ' || xid || ' has no ledger row'
from ledger_chain c where not exists (select from ledger l where l.xid = c.xid);
select 'balances add up to ' || sum(balance) from ledger_account having sum(balance) <> 0;
`;

/** Reads the ledger, whole and in one snapshot, and checks that no transaction is torn. */
export async function readLedger(cluster: Queryable, database = 'postgres'): Promise<LedgerState> {
  const query = `begin isolation level repeatable read read only;
    select distinct xid from ledger; select 'chain', count(*) from ledger_chain; ${CHECKS} commit;`;
  const lines = (await cluster.sql(query, { database })).split('\n').filter(Boolean);
  return {
    xids: new Set(lines.filter((line) => /^\d+$/.test(line)).map(Number)),
    chain: Number(lines.find((line) => line.startsWith('chain|'))?.slice('chain|'.length)),
    problems: lines.filter((line) => !/^\d+$|^chain\|/.test(line)),
  };
}

/** How a state differs from what was expected; empty when it does not. */
export function differences(state: LedgerState, expected: ReadonlySet<number>): readonly string[] {
  const lost = [...expected.difference(state.xids)].toSorted((a, b) => a - b);
  const foreign = [...state.xids.difference(expected)].toSorted((a, b) => a - b);
  return [
    ...(lost.length > 0 ? [`${lost.length} transactions missing: ${lost.slice(0, 10).join(', ')}`] : []),
    ...(foreign.length > 0 ? [`${foreign.length} transactions too many: ${foreign.slice(0, 10).join(', ')}`] : []),
    ...state.problems,
  ];
}
