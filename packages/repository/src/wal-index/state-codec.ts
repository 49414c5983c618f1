/** With what indexing goes on, as bytes. @packageDocumentation */
import { lsn } from '@keyframe/contracts';
import type { OpenTransaction } from '@keyframe/wal';
import { type ByteReader, ByteWriter } from '../format/bytes.ts';
import { readMessages, readXids, writeMessages, writeXids } from './list-codec.ts';
import {
  each,
  readRelations,
  readTables,
  RelationNames,
  type Relations,
  writeRelations,
  writeTables,
} from './relation-codec.ts';
import type { WalIndexState } from './wal-index.ts';

export function writeState({ lens, tracker }: WalIndexState): Buffer {
  const names = new RelationNames();
  const body = new ByteWriter();
  body.varint(lens.open.length);
  for (const transaction of lens.open) writeOpen(body, transaction, names);
  const writer = new ByteWriter();
  // Zero for what is not known; everything else is one more.
  writer.varint(lens.position === undefined ? 0 : Number(lens.position) + 1);
  writer.varint(lens.knownFrom === undefined ? 0 : lens.knownFrom + 1);
  writeRelations(writer, names.all);
  writer.counted(body.view());
  writer.varint(tracker === undefined ? 0 : 1);
  writer.counted(tracker ?? new Uint8Array());
  return writer.take();
}

/** @throws {KeyframeError} CORRUPT */
export function readState(reader: ByteReader): WalIndexState {
  const [position, knownFrom] = [reader.varint(), reader.varint()];
  const relations = readRelations(reader);
  reader.varint(); // length of what follows
  const open = each(reader, () => readOpen(reader, relations));
  const hasTracker = reader.varint() === 1;
  const tracker = Uint8Array.from(reader.counted());
  return {
    lens: {
      position: position === 0 ? undefined : lsn(BigInt(position - 1)),
      knownFrom: knownFrom === 0 ? undefined : knownFrom - 1,
      open,
    },
    tracker: hasTracker ? tracker : undefined,
  };
}

function writeOpen(writer: ByteWriter, open: OpenTransaction, names: RelationNames): void {
  writer.varint(open.xid);
  writer.varint(open.topXid);
  writer.varint(Number(open.firstLsn));
  writer.varint(open.tracked ? 1 : 0);
  writeTables(writer, open.tables, names);
  writeRelations(writer, open.created);
  writeXids(writer, open.truncated);
  writeMessages(writer, open.messages);
}

function readOpen(reader: ByteReader, relations: Relations): OpenTransaction {
  return {
    xid: reader.varint(),
    topXid: reader.varint(),
    firstLsn: lsn(BigInt(reader.varint())),
    tracked: reader.varint() === 1,
    tables: readTables(reader, relations),
    created: readRelations(reader),
    truncated: readXids(reader),
    messages: readMessages(reader),
  };
}
