/** Rows, relations and transactions as bytes. @packageDocumentation */
import { lsn } from '@keyframe/contracts';
import type { FoldedTransactions, MessageEffect, RelationEffect, RelationId, TransactionEffect } from '@keyframe/wal';
import type { ByteReader, ByteWriter } from '../format/bytes.ts';

/** Relations of one object, numbered as they come. */
export class RelationNames {
  readonly all: RelationId[] = [];
  readonly #numbers = new Map<string, number>();

  numberOf(relation: RelationId): number {
    const key = `${relation.tablespace}/${relation.database}/${relation.relfilenode}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const { tablespace, database, relfilenode } = relation;
    this.#numbers.set(key, this.all.length);
    return this.all.push({ tablespace, database, relfilenode }) - 1;
  }
}

export function writeRelations(writer: ByteWriter, relations: readonly RelationId[]): void {
  writer.varint(relations.length);
  for (const { tablespace, database, relfilenode } of relations) {
    writer.varint(tablespace);
    writer.varint(database);
    writer.varint(relfilenode);
  }
}

export function readRelations(reader: ByteReader): RelationId[] {
  return each(reader, () => ({
    tablespace: reader.varint(),
    database: reader.varint(),
    relfilenode: reader.varint(),
  }));
}

/** As many as a varint says. A count that the bytes cannot hold ends where they do. */
export function each<Item>(reader: ByteReader, read: () => Item): Item[] {
  const items: Item[] = [];
  for (let left = reader.varint(); left > 0; left--) items.push(read());
  return items;
}

/** What the numbers of relations mean. */
export type Relations = readonly RelationId[];

const NO_RELATION: RelationId = { tablespace: 0, database: 0, relfilenode: 0 };

export function writeTables(writer: ByteWriter, tables: readonly RelationEffect[], names: RelationNames): void {
  writer.varint(tables.length);
  for (const { relation, inserted, updated, deleted, pages } of tables) {
    writer.varint(names.numberOf(relation));
    writer.signed(inserted);
    writer.varint(updated);
    writer.varint(deleted);
    writer.varint(pages);
  }
}

export function readTables(reader: ByteReader, relations: Relations): RelationEffect[] {
  return each(reader, () => ({
    relation: relations[reader.varint()] ?? NO_RELATION,
    inserted: reader.signed(),
    updated: reader.varint(),
    deleted: reader.varint(),
    pages: reader.varint(),
  }));
}

const FLAG = {
  abort: 1,
  prepared: 2,
  partial: 4,
  subtransactions: 8,
  created: 16,
  dropped: 32,
  truncated: 64,
  messages: 128,
  topXid: 256,
} as const;

function flagsOf(transaction: TransactionEffect): number {
  const { outcome, prepared, partial, subtransactions, created, dropped, truncated, messages, topXid } = transaction;
  return (
    (outcome === 'abort' ? FLAG.abort : 0) |
    (prepared ? FLAG.prepared : 0) |
    (partial ? FLAG.partial : 0) |
    (subtransactions.length > 0 ? FLAG.subtransactions : 0) |
    (created.length > 0 ? FLAG.created : 0) |
    (dropped.length > 0 ? FLAG.dropped : 0) |
    (truncated.length > 0 ? FLAG.truncated : 0) |
    (messages.length > 0 ? FLAG.messages : 0) |
    (topXid === 0 ? 0 : FLAG.topXid)
  );
}

/** What the numbers of one transaction are told as differences from. */
interface Before {
  lsn: number;
  xid: number;
  timeMicros: number;
}

export function writeTransactions(
  writer: ByteWriter,
  transactions: readonly TransactionEffect[],
  { names, startLsn }: { readonly names: RelationNames; readonly startLsn: number },
): void {
  const before: Before = { lsn: startLsn, xid: 0, timeMicros: 0 };
  writer.varint(transactions.length);
  for (const transaction of transactions) {
    const flags = flagsOf(transaction);
    const { xid, database } = transaction;
    const [at, timeMicros] = [Number(transaction.lsn), Number(transaction.timeMicros)];
    writer.varint(flags);
    writer.signed(xid - before.xid);
    writer.signed(at - before.lsn);
    writer.varint(Number(transaction.endLsn) - at);
    writer.varint(at - Number(transaction.firstLsn));
    writer.signed(timeMicros - before.timeMicros);
    writer.varint(database);
    writeTables(writer, transaction.tables, names);
    writeRare(writer, transaction, flags);
    before.lsn = at;
    before.xid = xid;
    before.timeMicros = timeMicros;
  }
}

function writeRare(writer: ByteWriter, transaction: TransactionEffect, flags: number): void {
  const has = (bit: number): boolean => (flags & bit) !== 0;
  if (has(FLAG.topXid)) writer.varint(transaction.topXid);
  if (has(FLAG.subtransactions)) writeXids(writer, transaction.subtransactions);
  if (has(FLAG.created)) writeRelations(writer, transaction.created);
  if (has(FLAG.dropped)) writeRelations(writer, transaction.dropped);
  if (has(FLAG.truncated)) writeXids(writer, transaction.truncated);
  if (has(FLAG.messages)) writeMessages(writer, transaction.messages);
}

export function readTransactions(reader: ByteReader, relations: Relations, startLsn: number): TransactionEffect[] {
  const before: Before = { lsn: startLsn, xid: 0, timeMicros: 0 };
  return each(reader, () => {
    const flags = reader.varint();
    const has = (bit: number): boolean => (flags & bit) !== 0;
    before.xid += reader.signed();
    before.lsn += reader.signed();
    const [length, lived] = [reader.varint(), reader.varint()];
    before.timeMicros += reader.signed();
    return {
      xid: before.xid,
      lsn: lsn(BigInt(before.lsn)),
      endLsn: lsn(BigInt(before.lsn + length)),
      firstLsn: lsn(BigInt(Math.max(0, before.lsn - lived))),
      timeMicros: BigInt(before.timeMicros),
      outcome: has(FLAG.abort) ? 'abort' : 'commit',
      prepared: has(FLAG.prepared),
      partial: has(FLAG.partial),
      database: reader.varint(),
      tables: readTables(reader, relations),
      topXid: has(FLAG.topXid) ? reader.varint() : 0,
      subtransactions: has(FLAG.subtransactions) ? readXids(reader) : [],
      created: has(FLAG.created) ? readRelations(reader) : [],
      dropped: has(FLAG.dropped) ? readRelations(reader) : [],
      truncated: has(FLAG.truncated) ? readXids(reader) : [],
      messages: has(FLAG.messages) ? readMessages(reader) : [],
    };
  });
}

export function writeXids(writer: ByteWriter, xids: readonly number[]): void {
  let before = 0;
  writer.varint(xids.length);
  for (const xid of xids) {
    writer.signed(xid - before);
    before = xid;
  }
}

export function readXids(reader: ByteReader): number[] {
  let before = 0;
  return each(reader, () => (before += reader.signed()));
}

export function writeMessages(writer: ByteWriter, messages: readonly MessageEffect[]): void {
  writer.varint(messages.length);
  for (const { lsn: at, prefix, sizeBytes } of messages) {
    writer.varint(Number(at));
    writer.counted(Buffer.from(prefix));
    writer.varint(sizeBytes);
  }
}

export function readMessages(reader: ByteReader): MessageEffect[] {
  return each(reader, () => ({
    lsn: lsn(BigInt(reader.varint())),
    prefix: reader.counted().toString('utf8'),
    sizeBytes: reader.varint(),
  }));
}

export function writeFolded(writer: ByteWriter, folded: readonly FoldedTransactions[], names: RelationNames): void {
  writer.varint(folded.length);
  for (const each of folded) {
    writer.varint(each.outcome === 'abort' ? 1 : 0);
    writer.varint(each.count);
    writer.varint(Number(each.firstLsn));
    writer.varint(Number(each.lastLsn - each.firstLsn));
    writer.varint(Number(each.firstTimeMicros));
    writer.signed(Number(each.lastTimeMicros - each.firstTimeMicros));
    writer.varint(each.lowestXid);
    writer.varint(each.highestXid);
    writeTables(writer, each.tables, names);
  }
}

export function readFolded(reader: ByteReader, relations: Relations): FoldedTransactions[] {
  return each(reader, () => {
    const outcome = reader.varint() === 1 ? 'abort' : 'commit';
    const count = reader.varint();
    const firstLsn = reader.varint();
    const lastLsn = firstLsn + reader.varint();
    const firstTime = reader.varint();
    const lastTime = firstTime + reader.signed();
    return {
      outcome,
      count,
      firstLsn: lsn(BigInt(firstLsn)),
      lastLsn: lsn(BigInt(lastLsn)),
      firstTimeMicros: BigInt(firstTime),
      lastTimeMicros: BigInt(lastTime),
      lowestXid: reader.varint(),
      highestXid: reader.varint(),
      tables: readTables(reader, relations),
    };
  });
}
