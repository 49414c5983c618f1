/** Xids and messages as bytes. @packageDocumentation */
import { lsn } from '@keyframe/contracts';
import type { MessageEffect } from '@keyframe/wal';
import type { ByteReader, ByteWriter } from '../format/bytes.ts';
import { each } from './relation-codec.ts';

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
