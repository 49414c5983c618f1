/**
 * What the end of a transaction says about catalogues.
 * @see src/include/access/xact.h and storage/sinval.h in PostgreSQL
 * @packageDocumentation
 */
import type { DecodedRecord } from '../lens/decoded-record.ts';
import type { PostgresMajor } from '../page-header.ts';

const OPCODE = 0x70;
const HAS_INFO = 0x80;
const XACT = { commit: 0x00, abort: 0x20, commitPrepared: 0x30, abortPrepared: 0x40 } as const;
const XINFO = {
  database: 1,
  subtransactions: 2,
  relations: 4,
  invalidations: 8,
  twoPhase: 16,
  statistics: 256,
} as const;
const RELCACHE = -2;
const INVALIDATION_BYTES = 16;

/** A relation whose definition is said to have changed. */
export interface InvalidatedRelation {
  readonly database: number;
  readonly oid: number;
}

/** The end of a transaction. */
export interface TransactionEnd {
  readonly outcome: 'commit' | 'abort';
  readonly xid: number;
  /** The transaction, and its subtransactions that ended with it. */
  readonly xids: readonly number[];
  readonly database: number;
  /** Files that are removed, as `[tablespace, database, relfilenode]`. */
  readonly removed: readonly (readonly [number, number, number])[];
  readonly invalidated: readonly InvalidatedRelation[];
}

/** Reads a commit or abort; `undefined` for other records of transactions. */
export function readTransactionEnd(record: DecodedRecord, major: PostgresMajor): TransactionEnd | undefined {
  const opcode = record.info & OPCODE;
  const commits = opcode === XACT.commit || opcode === XACT.commitPrepared;
  if (!commits && opcode !== XACT.abort && opcode !== XACT.abortPrepared) return undefined;
  const reader = new EndReader(record, major);
  return { ...reader.read(commits), outcome: commits ? 'commit' : 'abort' };
}

/** The optional parts stand one after the other. */
class EndReader {
  readonly #record: DecodedRecord;
  readonly #view: DataView;
  readonly #major: PostgresMajor;
  #at = 8;

  constructor(record: DecodedRecord, major: PostgresMajor) {
    const { mainData } = record;
    this.#record = record;
    this.#view = new DataView(mainData.buffer, mainData.byteOffset, mainData.length);
    this.#major = major;
  }

  read(commits: boolean): Omit<TransactionEnd, 'outcome'> {
    const { xid } = this.#record;
    const xinfo = (this.#record.info & HAS_INFO) === 0 ? 0 : this.#word();
    const has = (bit: number): boolean => (xinfo & bit) !== 0;
    const database = has(XINFO.database) ? this.#word() : 0;
    if (has(XINFO.database)) this.#word();
    const children = has(XINFO.subtransactions) ? this.#each(() => this.#word()) : [];
    const removed = has(XINFO.relations) ? this.#each(() => [this.#word(), this.#word(), this.#word()] as const) : [];
    if (has(XINFO.statistics)) this.#skip(this.#word() * (this.#major >= 18 ? 16 : 12));
    const messages = commits && has(XINFO.invalidations) ? this.#each(() => this.#invalidation()) : [];
    const top = has(XINFO.twoPhase) ? this.#word() : xid;
    const invalidated = messages.filter((each) => each !== undefined);
    return { xid: top, xids: [top, ...children], database, removed, invalidated };
  }

  #skip(bytes: number): void {
    this.#at += bytes;
  }

  #word(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  #each<Item>(read: () => Item): Item[] {
    const count = this.#word();
    const items: Item[] = [];
    for (let index = 0; index < count; index++) items.push(read());
    return items;
  }

  #invalidation(): InvalidatedRelation | undefined {
    const at = this.#at;
    this.#at += INVALIDATION_BYTES;
    if (this.#view.getInt8(at) !== RELCACHE) return undefined;
    const oid = this.#view.getUint32(at + 8, true);
    return oid === 0 ? undefined : { database: this.#view.getUint32(at + 4, true), oid };
  }
}
