import type { Action } from '@keyframe/wal';
import type { TableRows } from './log-entry.ts';

/** Fewer rows than this are never marked: somebody deletes a few every minute. */
const FEW = 100;
/** Share of a table from which on it looks like all of it. */
const LARGE_SHARE = { deleted: 0.1, updated: 0.5 } as const;
/** So many rows of a table whose size nobody knows: PostgreSQL learns it when it first analyzes the table. */
const MANY = 1000;
/** So many times what is usual there, once so many transactions have shown what is. */
const UNUSUAL = { times: 20, after: 20 } as const;
/** What is gone afterwards. */
const DESTRUCTIVE = new Set(['TABLE', 'MATERIALIZED VIEW', 'SCHEMA', 'DATABASE', 'FOREIGN TABLE']);

/** What was deleted from a table, or updated in it. */
export interface Usual {
  transactions: number;
  rows: number;
}

/** What is usual, by table. */
export interface Traffic {
  readonly deletes: Map<string, Usual>;
  readonly updates: Map<string, Usual>;
}

/** None at all. */
export const noTraffic = (): Traffic => ({ deletes: new Map(), updates: new Map() });

/** Judges transactions by the size of the table and by its usual traffic, as far as it was seen. */
export class Suspicion {
  readonly #deletes: Map<string, Usual>;
  readonly #updates: Map<string, Usual>;

  /** Begins with what is usual already; both are changed. */
  constructor({ deletes, updates }: Traffic = noTraffic()) {
    this.#deletes = deletes;
    this.#updates = updates;
  }

  /** Why a committed transaction deserves a look; nothing for most. */
  judge(tables: readonly TableRows[], actions: readonly Action[]): string[] {
    const reasons: string[] = [];
    for (const action of actions) {
      const { verb, object, name = '', rows } = action;
      if (action.minor === true || (verb !== 'drop' && verb !== 'truncate') || !DESTRUCTIVE.has(object)) continue;
      const size = rows === undefined ? '' : `, about ${rows.toLocaleString('en')} rows`;
      reasons.push(`${verb === 'drop' ? 'drops' : 'empties'} ${name}${size}`);
    }
    // A table that is gone had its rows named already.
    if (reasons.length > 0) return reasons;
    for (const table of tables) {
      const why =
        this.#why(table, table.deleted, 'deleted', this.#deletes) ??
        this.#why(table, table.updated, 'updated', this.#updates);
      if (why !== undefined) reasons.push(why);
    }
    return reasons;
  }

  /** Takes transactions into what is usual, after they were judged. */
  learn(tables: readonly TableRows[], count: number): void {
    for (const table of tables) {
      const key = trafficKey(table);
      if (table.deleted > 0) add(this.#deletes, key, table.deleted, count);
      if (table.updated > 0) add(this.#updates, key, table.updated, count);
    }
  }

  #why(
    table: TableRows,
    rows: number,
    kind: 'deleted' | 'updated',
    known: ReadonlyMap<string, Usual>,
  ): string | undefined {
    if (rows < FEW) return undefined;
    const verb = kind === 'deleted' ? 'deletes' : 'updates';
    const { about } = table;
    const share = about === undefined || about === 0 ? 0 : rows / Math.max(rows, about);
    if (share >= LARGE_SHARE[kind])
      return `${verb} ${Math.round(share * 100)} % of ${table.name}, which had about ${about?.toLocaleString('en')} rows`;
    const usual = known.get(trafficKey(table));
    const mean = usual === undefined ? 0 : usual.rows / usual.transactions;
    if (rows < mean * UNUSUAL.times) return undefined;
    if (about === undefined && rows >= MANY)
      return `${verb} ${rows.toLocaleString('en')} rows of ${table.name} at once; how many it had is not known`;
    if (usual === undefined || usual.transactions < UNUSUAL.after) return undefined;
    return `${verb} ${Math.round(rows / mean)} times the rows that are usual in ${table.name}`;
  }
}

/** A table's key in {@link Traffic}. */
export const trafficKey = ({ database, name }: Pick<TableRows, 'database' | 'name'>): string =>
  `${database ?? ''} ${name}`;

function add(known: Map<string, Usual>, key: string, rows: number, count: number): void {
  const usual = known.get(key) ?? { transactions: 0, rows: 0 };
  usual.transactions += count;
  usual.rows += rows * count;
  known.set(key, usual);
}
