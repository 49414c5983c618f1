import type { Outline } from './outline.ts';
import { noTraffic, type Traffic, trafficKey, type Usual } from './suspicion.ts';

/** What is usual in tables, of all outlines but those that were taken back. */
export class TrafficSum {
  readonly #sum = noTraffic();

  add(outline: Outline): void {
    this.#change(outline, 1);
  }

  takeBack(outline: Outline): void {
    this.#change(outline, -1);
  }

  /** As it is now. */
  copy(): Traffic {
    const copied = (known: ReadonlyMap<string, Usual>): Map<string, Usual> =>
      new Map([...known].flatMap(([key, usual]) => (usual.transactions > 0 ? [[key, { ...usual }]] : [])));
    return { deletes: copied(this.#sum.deletes), updates: copied(this.#sum.updates) };
  }

  #change({ tables }: Outline, sign: 1 | -1): void {
    for (const table of tables) {
      const key = trafficKey(table);
      change(this.#sum.deletes, key, sign * table.deletes, sign * table.deleted);
      change(this.#sum.updates, key, sign * table.updates, sign * table.updated);
    }
  }
}

function change(known: Map<string, Usual>, key: string, transactions: number, rows: number): void {
  if (transactions === 0) return;
  const usual = known.get(key) ?? { transactions: 0, rows: 0 };
  usual.transactions += transactions;
  usual.rows += rows;
  known.set(key, usual);
}
