/** Transactions as bytes. @packageDocumentation */
import { lsn } from '@keyframe/contracts';
import type { FoldedTransactions, TransactionEffect } from '@keyframe/wal';
import type { ByteReader, ByteWriter } from '../format/bytes.ts';
import { readMessages, readXids, writeMessages, writeXids } from './list-codec.ts';
import {
  each,
  readRelations,
  readTables,
  type RelationNames,
  type Relations,
  writeRelations,
  writeTables,
} from './relation-codec.ts';

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

export function writeFolded(writer: ByteWriter, folded: readonly FoldedTransactions[], names: RelationNames): void {
  writer.varint(folded.length);
  for (const line of folded) {
    writer.varint((line.outcome === 'abort' ? FLAG.abort : 0) | (line.partial ? FLAG.partial : 0));
    writer.varint(line.count);
    writer.varint(Number(line.firstLsn));
    writer.varint(Number(line.lastLsn - line.firstLsn));
    writer.varint(Number(line.firstTimeMicros));
    writer.signed(Number(line.lastTimeMicros - line.firstTimeMicros));
    writer.varint(line.lowestXid);
    writer.varint(line.highestXid);
    writeTables(writer, line.tables, names);
  }
}

export function readFolded(reader: ByteReader, relations: Relations): FoldedTransactions[] {
  return each(reader, () => {
    const flags = reader.varint();
    const count = reader.varint();
    const firstLsn = reader.varint();
    const lastLsn = firstLsn + reader.varint();
    const firstTime = reader.varint();
    const lastTime = firstTime + reader.signed();
    return {
      outcome: (flags & FLAG.abort) === 0 ? 'commit' : 'abort',
      partial: (flags & FLAG.partial) !== 0,
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
