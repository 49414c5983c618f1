/**
 * What is inside a WAL record, as far as recovery targets need it.
 * @see src/include/access/xlogrecord.h, xact.h, xlog_internal.h and catalog/pg_control.h in PostgreSQL
 * @packageDocumentation
 */
import { lsn } from '@keyframe/contracts';
import type { RecordPlace, TransactionFact, WalFact } from './facts.ts';
import { isFileRecord, readFileFact } from './file-record.ts';
import type { PostgresMajor } from './page-header.ts';
import { mainDataStart, readParts, unixMicros } from './record-parts.ts';

/** Bytes of the fixed record header. */
export const RECORD_HEADER_BYTES = 24;
/** Bytes of that header which its CRC covers; the CRC itself follows. */
export const RECORD_CRC_OFFSET = 20;

const RM_XLOG = 0;
const RM_XACT = 1;
const LAST_BUILT_IN = 21;
const FIRST_CUSTOM = 128;

/** High bits of `xl_info` of the XLOG resource manager. */
const XLOG = {
  checkpointShutdown: 0x00,
  checkpointOnline: 0x10,
  switch: 0x40,
  backupEnd: 0x50,
  parameterChange: 0x60,
  restorePoint: 0x70,
  endOfRecovery: 0x90,
  overwriteContrecord: 0xd0,
} as const;

const XACT_MASK = 0x70;
const XACT = { commit: 0x00, abort: 0x20, commitPrepared: 0x30, abortPrepared: 0x40 } as const;
const xlogOpcodes: ReadonlySet<number> = new Set(Object.values(XLOG));
const xactOpcodes: ReadonlySet<number> = new Set(Object.values(XACT));

/** One whole record whose CRC is right: where its header's fields and its payload are. */
export interface RecordBody {
  readonly resourceManager: number;
  readonly info: number;
  readonly xid: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The payload after the fixed header is `bytes[start, end)`. */
  readonly start: number;
  readonly end: number;
}

/** True when the major knows that resource manager: built in, or since 15 an extension's. */
export function isResourceManager(id: number, major: PostgresMajor): boolean {
  return id <= LAST_BUILT_IN || (major >= 15 && id >= FIRST_CUSTOM);
}

/** True when {@link readFact} can tell something wanted of such a record, so that its payload must be kept. */
export function isTelling(resourceManager: number, info: number, files: boolean): boolean {
  if (resourceManager === RM_XACT) return xactOpcodes.has(info & XACT_MASK);
  if (resourceManager === RM_XLOG) return xlogOpcodes.has(info & 0xf0);
  return files && isFileRecord(resourceManager, info);
}

/** True for the record after which the rest of the segment is unused. */
export function isSwitch(resourceManager: number, info: number): boolean {
  return resourceManager === RM_XLOG && (info & 0xf0) === XLOG.switch;
}

/** What the record tells; `undefined` for a record that is telling but cannot be read. */
export function readFact(record: RecordBody, place: RecordPlace, major: PostgresMajor): WalFact | undefined {
  const at = mainDataStart(record);
  if (at === undefined) return undefined;
  const { resourceManager, info } = record;
  if (isFileRecord(resourceManager, info)) return readFileFact(record, at, place, major);
  return resourceManager === RM_XACT ? readTransaction(record, at, place, major) : readXlog(record, at, place);
}

function readTransaction(
  record: RecordBody,
  data: number,
  place: RecordPlace,
  major: PostgresMajor,
): TransactionFact | undefined {
  const { view, end } = record;
  if (data + 8 > end) return undefined;
  const opcode = record.info & XACT_MASK;
  const commits = opcode === XACT.commit || opcode === XACT.commitPrepared;
  const timeMicros = unixMicros(view, data);
  const parts = readParts(record, data + 8, commits, major);
  if (parts === undefined) return undefined;
  return {
    kind: commits ? 'commit' : 'abort',
    lsn: place.lsn,
    endLsn: place.endLsn,
    previousEndLsn: place.previousEndLsn,
    xid: parts.twoPhaseXid ?? record.xid,
    timeMicros,
    prepared: opcode === XACT.commitPrepared || opcode === XACT.abortPrepared,
    subtransactions: parts.subtransactions,
  };
}

/** True when a transaction's end names `xid` among its subtransactions. */
export function endsSubtransaction(record: RecordBody, xid: number, major: PostgresMajor): boolean {
  const data = mainDataStart(record);
  if (data === undefined) return false;
  const opcode = record.info & XACT_MASK;
  const parts = readParts(record, data + 8, opcode === XACT.commit || opcode === XACT.commitPrepared, major);
  if (parts === undefined) return false;
  for (let index = 0; index < parts.subtransactions; index++)
    if (record.view.getUint32(parts.subtransactionsAt + index * 4, true) === xid) return true;
  return false;
}

function readXlog(record: RecordBody, at: number, place: RecordPlace): WalFact | undefined {
  const { view, end } = record;
  const sizeBytes = end - at;
  const opcode = record.info & 0xf0;
  switch (opcode) {
    case XLOG.switch:
      return { kind: 'switch', ...place };
    case XLOG.backupEnd:
      return sizeBytes < 8 ? undefined : { kind: 'backup-end', ...place, startLsn: lsn(view.getBigUint64(at, true)) };
    case XLOG.overwriteContrecord:
      return sizeBytes < 8
        ? undefined
        : { kind: 'overwrite', ...place, abandonedLsn: lsn(view.getBigUint64(at, true)) };
    case XLOG.checkpointShutdown:
    case XLOG.checkpointOnline:
      return sizeBytes < 16
        ? undefined
        : {
            kind: 'checkpoint',
            ...place,
            redo: lsn(view.getBigUint64(at, true)),
            shutdown: opcode === XLOG.checkpointShutdown,
            timeline: view.getUint32(at + 8, true),
            previousTimeline: view.getUint32(at + 12, true),
          };
    case XLOG.endOfRecovery:
      return sizeBytes < 16
        ? undefined
        : {
            kind: 'end-of-recovery',
            ...place,
            timeMicros: unixMicros(view, at),
            timeline: view.getUint32(at + 8, true),
            previousTimeline: view.getUint32(at + 12, true),
          };
    case XLOG.restorePoint:
      return readRestorePoint(record, at, place);
    case XLOG.parameterChange:
      return readParameterChange(record, at, place);
    default:
      return undefined;
  }
}

/**
 * The name is in the encoding of the database it was written in, which WAL does not tell. One that is not UTF-8 must not
 * look like a name that a user can type: PostgreSQL compares bytes and would not find it.
 */
function readRestorePoint(record: RecordBody, at: number, place: RecordPlace): WalFact | undefined {
  const field = record.bytes.subarray(at + 8, Math.min(at + 72, record.end));
  const length = field.indexOf(0);
  if (length < 0) return undefined;
  return {
    kind: 'restore-point',
    ...place,
    name: Buffer.from(field.subarray(0, length)).toString('utf8'),
    timeMicros: unixMicros(record.view, at),
  };
}

function readParameterChange({ view, end }: RecordBody, at: number, place: RecordPlace): WalFact | undefined {
  if (end - at < 26) return undefined;
  const level = view.getInt32(at + 20, true);
  return {
    kind: 'parameter-change',
    ...place,
    maxConnections: view.getInt32(at, true),
    maxWorkerProcesses: view.getInt32(at + 4, true),
    maxWalSenders: view.getInt32(at + 8, true),
    maxPreparedTransactions: view.getInt32(at + 12, true),
    maxLocksPerTransaction: view.getInt32(at + 16, true),
    walLevel: level === 0 ? 'minimal' : level === 1 ? 'replica' : 'logical',
    walLogHints: view.getUint8(at + 24) !== 0,
    trackCommitTimestamp: view.getUint8(at + 25) !== 0,
  };
}
