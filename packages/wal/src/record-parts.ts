/**
 * Parts of records that several readers look at.
 * @see src/include/access/xlogrecord.h and xact.h in PostgreSQL
 * @packageDocumentation
 */
import type { PostgresMajor } from './page-header.ts';
import type { RecordBody } from './record.ts';

const XACT_HAS_INFO = 0x80;
const XINFO = {
  database: 1,
  subtransactions: 2,
  relations: 4,
  invalidations: 8,
  twoPhase: 16,
  statistics: 256,
} as const;

/** PostgreSQL counts from 2000-01-01. */
const EPOCH_MICROS = 946_684_800_000_000;

/** A timestamptz as a number, which is exact until the year 2255. */
export function unixMicrosNumber(view: DataView, at: number): number {
  return view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true) + EPOCH_MICROS;
}

/** A timestamptz. Numbers are quicker than big integers. */
export function unixMicros(view: DataView, at: number): bigint {
  const micros = unixMicrosNumber(view, at);
  return Number.isSafeInteger(micros) ? BigInt(micros) : view.getBigInt64(at, true) + BigInt(EPOCH_MICROS);
}

/**
 * The main data is the last part of a record, after its block references, of which telling records have none.
 * Before it may stand a replication origin and a top-level xid.
 */
export function mainDataStart({ view, start, end }: RecordBody): number | undefined {
  let at = start;
  while (at + 2 <= end) {
    const id = view.getUint8(at);
    if (id === 255) return at + 2;
    if (id === 254) return at + 5;
    if (id === 253) at += 3;
    else if (id === 252) at += 5;
    else return undefined;
  }
  // A switch record has no payload at all.
  return at === end ? at : undefined;
}

/** The optional parts of a commit or abort. */
export interface TransactionParts {
  /** 0: not told. */
  readonly database: number;
  readonly subtransactions: number;
  /** Where the list of their xids begins. */
  readonly subtransactionsAt: number;
  /** Files that are removed, and where their list begins. */
  readonly relations: number;
  readonly relationsAt: number;
  /** Messages to other sessions of 16 bytes each, and where their list begins. */
  readonly invalidations: number;
  readonly invalidationsAt: number;
  readonly twoPhaseXid: number | undefined;
}

const NO_PARTS: TransactionParts = {
  database: 0,
  subtransactions: 0,
  subtransactionsAt: 0,
  relations: 0,
  relationsAt: 0,
  invalidations: 0,
  invalidationsAt: 0,
  twoPhaseXid: undefined,
};

/** The optional parts stand one after the other, each present when its bit of `xinfo` is set. */
export function readParts(
  record: Pick<RecordBody, 'info' | 'view' | 'end'>,
  from: number,
  commits: boolean,
  major: PostgresMajor,
): TransactionParts | undefined {
  if ((record.info & XACT_HAS_INFO) === 0) return NO_PARTS;
  const { view, end } = record;
  if (from + 4 > end) return undefined;
  const xinfo = view.getUint32(from, true);
  let at = from + 4;
  const hasDatabase = (xinfo & XINFO.database) !== 0 && at + 8 <= end;
  const database = hasDatabase ? view.getUint32(at, true) : 0;
  if ((xinfo & XINFO.database) !== 0) at += 8;
  const countAt = (bit: number, itemBytes: number): number => {
    if ((xinfo & bit) === 0) return 0;
    if (at + 4 > end) {
      at = Infinity;
      return 0;
    }
    const count = view.getUint32(at, true);
    at += 4 + count * itemBytes;
    return count;
  };
  const subtransactionsAt = at + 4;
  const subtransactions = countAt(XINFO.subtransactions, 4);
  const relationsAt = at + 4;
  const relations = countAt(XINFO.relations, 12);
  countAt(XINFO.statistics, major >= 18 ? 16 : 12);
  const invalidationsAt = at + 4;
  const invalidations = commits ? countAt(XINFO.invalidations, 16) : 0;
  const twoPhase = (xinfo & XINFO.twoPhase) !== 0;
  if (at + (twoPhase ? 4 : 0) > end) return undefined;
  const twoPhaseXid = twoPhase ? view.getUint32(at, true) : undefined;
  return {
    database,
    subtransactions,
    subtransactionsAt,
    relations,
    relationsAt,
    invalidations,
    invalidationsAt,
    twoPhaseXid,
  };
}
