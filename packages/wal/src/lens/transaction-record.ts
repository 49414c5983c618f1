import type { RelationId } from '../facts.ts';
import type { PostgresMajor } from '../page-header.ts';
import type { RecordBody } from '../record.ts';
import type { DecodedRecord } from './decoded-record.ts';
import { mainDataStart, readParts, unixMicrosNumber } from '../record-parts.ts';

const OPCODE_MASK = 0x70;
const HAS_INFO = 0x80;
const RELCACHE = -2;
const INVALIDATION_BYTES = 16;
const XACT = { commit: 0x00, abort: 0x20, commitPrepared: 0x30, abortPrepared: 0x40 } as const;

/** The end of a transaction as its record tells it. */
export interface TransactionEnd {
  readonly outcome: 'commit' | 'abort';
  readonly prepared: boolean;
  readonly xid: number;
  /** Exact until the year 2255. */
  readonly timeMicros: number;
  /** 0: not told. */
  readonly database: number;
  readonly subtransactions: readonly number[];
  readonly dropped: readonly RelationId[];
  /** Relations whose definition is said to have changed. */
  readonly invalidated: readonly InvalidatedRelation[];
}

/** A relation whose definition is said to have changed. */
export interface InvalidatedRelation {
  readonly database: number;
  readonly oid: number;
}

/** True for a commit or abort that tells nothing but its time: most of them. */
export function isPlainEnd(info: number): boolean {
  return (info & HAS_INFO) === 0 && ((info & OPCODE_MASK) === XACT.commit || (info & OPCODE_MASK) === XACT.abort);
}

/** True for the record of a transaction's end. */
export function isEnd(info: number): boolean {
  const opcode = info & OPCODE_MASK;
  return Object.values(XACT).some((each) => each === opcode);
}

/** Reads the end of a transaction; `undefined` for one that cannot be read. */
export function readEnd(record: RecordBody, major: PostgresMajor): TransactionEnd | undefined {
  const data = mainDataStart(record);
  return data === undefined ? undefined : readEndAt(record, data, major);
}

/** The same of a record that was taken apart; `undefined` also for other records of transactions. */
export function readDecodedEnd(
  { info, xid, mainData }: DecodedRecord,
  major: PostgresMajor,
): TransactionEnd | undefined {
  if (!isEnd(info)) return undefined;
  const view = new DataView(mainData.buffer, mainData.byteOffset, mainData.length);
  return readEndAt({ info, xid, view, end: mainData.length }, 0, major);
}

function readEndAt(
  record: Pick<RecordBody, 'info' | 'xid' | 'view' | 'end'>,
  data: number,
  major: PostgresMajor,
): TransactionEnd | undefined {
  const { view, info, end } = record;
  if (data + 8 > end) return undefined;
  const opcode = info & OPCODE_MASK;
  const commits = opcode === XACT.commit || opcode === XACT.commitPrepared;
  const parts = readParts(record, data + 8, commits, major);
  if (parts === undefined) return undefined;
  const { subtransactionsAt, relationsAt, invalidationsAt } = parts;
  return {
    outcome: commits ? 'commit' : 'abort',
    prepared: opcode === XACT.commitPrepared || opcode === XACT.abortPrepared,
    xid: parts.twoPhaseXid ?? record.xid,
    timeMicros: unixMicrosNumber(view, data),
    database: parts.database,
    subtransactions: Array.from({ length: parts.subtransactions }, (_, index) =>
      view.getUint32(subtransactionsAt + index * 4, true),
    ),
    dropped: Array.from({ length: parts.relations }, (_, index) => {
      const at = relationsAt + index * 12;
      return {
        tablespace: view.getUint32(at, true),
        database: view.getUint32(at + 4, true),
        relfilenode: view.getUint32(at + 8, true),
      };
    }),
    invalidated: Array.from({ length: parts.invalidations }, (_, index) =>
      readInvalidation(view, invalidationsAt + index * INVALIDATION_BYTES),
    ).filter((each) => each !== undefined),
  };
}

/** @see src/include/storage/sinval.h in PostgreSQL */
function readInvalidation(view: DataView, at: number): InvalidatedRelation | undefined {
  if (view.getInt8(at) !== RELCACHE) return undefined;
  const oid = view.getUint32(at + 8, true);
  return oid === 0 ? undefined : { database: view.getUint32(at + 4, true), oid };
}
