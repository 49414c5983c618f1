/** From indexes of segments to what people read. @packageDocumentation */
import type { TimelineId } from '@keyframe/contracts';
import type { FoldedTransactions, SegmentIndex, TransactionEffect, TransactionNotes } from '@keyframe/wal';
import type { LogEntry } from './log-entry.ts';
import { Suspicion, type Traffic } from './suspicion.ts';
import { type KnownFiles, TableNames } from './table-names.ts';

/** Tells entry by entry what segments hold; feed it every segment in order, also those of which nothing is shown. */
export class EntryReader {
  readonly #names: TableNames;
  readonly #suspicion: Suspicion;

  /** Begins with what is known of WAL that it is not fed. */
  constructor({ files, traffic }: { readonly files?: KnownFiles; readonly traffic?: Traffic } = {}) {
    this.#names = new TableNames(files);
    this.#suspicion = new Suspicion(traffic);
  }

  /** In the order in which things ended; many that are alike stand where the first of them ended. */
  read(index: SegmentIndex): LogEntry[] {
    const notes = this.#names.learn(index.notes);
    const told = new Map(notes.transactions.map((each) => [each.lsn, each]));
    const entries = [
      ...index.transactions.map((each) => this.#transaction(each, index.timeline, told.get(each.lsn))),
      ...index.folded.map((each) => this.#many(each, index.timeline)),
      ...this.#restorePoints(index),
    ].toSorted((one, other) => (one.lsn < other.lsn ? -1 : 1));
    return entries.map((entry) => this.#judged(entry));
  }

  /** The same with names that were learnt since it was read. */
  named(entry: LogEntry): LogEntry {
    const { database = entry.tables.map((each) => this.#names.again(each).database)[0] } = entry;
    return { ...entry, database, tables: entry.tables.map((each) => this.#names.again(each)) };
  }

  #judged(entry: LogEntry): LogEntry {
    if (entry.outcome === 'abort' || entry.kind === 'restore-point') return entry;
    const suspicious = entry.kind === 'transaction' ? this.#suspicion.judge(entry.tables, entry.actions) : [];
    this.#suspicion.learn(entry.tables, entry.many?.count ?? 1);
    return suspicious.length === 0 ? entry : { ...entry, suspicious };
  }

  #transaction(each: TransactionEffect, timeline: TimelineId, notes: TransactionNotes | undefined): LogEntry {
    const { actions = [], rewritten = [] } = notes ?? {};
    const { xid, outcome, prepared, lsn, endLsn, timeMicros, subtransactions, partial } = each;
    return {
      kind: 'transaction',
      timeline,
      timeMicros,
      lsn,
      endLsn,
      xid,
      outcome,
      prepared,
      database:
        this.#names.database(each.database) ?? actions.find((action) => action.database !== undefined)?.database,
      subtransactions,
      tables: this.#names.rowsOf(
        each.tables.filter(({ relation }) => !rewritten.includes(relation.relfilenode)),
        lsn,
      ),
      actions,
      words: each.messages.map(({ prefix }) => prefix),
      suspicious: [],
      partial,
    };
  }

  #many(each: FoldedTransactions, timeline: TimelineId): LogEntry {
    const { count, highestXid, lastTimeMicros, outcome } = each;
    const tables = this.#names.rowsOf(each.tables, each.firstLsn);
    return {
      kind: 'transactions',
      timeline,
      timeMicros: each.firstTimeMicros,
      lsn: each.firstLsn,
      endLsn: each.lastLsn,
      xid: each.lowestXid,
      many: { count, highestXid, lastTimeMicros },
      outcome,
      prepared: false,
      database: tables[0]?.database,
      subtransactions: [],
      tables,
      actions: [],
      words: [],
      suspicious: [],
      partial: each.partial,
    };
  }

  #restorePoints({ facts, timeline }: SegmentIndex): LogEntry[] {
    return facts.flatMap((fact) => {
      if (fact.kind !== 'restore-point') return [];
      const { lsn, endLsn, timeMicros, name } = fact;
      const nothing = { subtransactions: [], tables: [], actions: [], suspicious: [] };
      const entry = { kind: fact.kind, timeline, timeMicros, lsn, endLsn, xid: 0, outcome: 'commit' as const };
      return [{ ...entry, ...nothing, prepared: false, database: undefined, words: [name], partial: false }];
    });
  }
}
