/**
 * Rows of the catalogues that name relations.
 * @see src/include/catalog/pg_class.h, pg_namespace.h, pg_database.h and pg_tablespace.h in PostgreSQL
 * @packageDocumentation
 */
import type { PostgresMajor } from '../page-header.ts';
import { columnsOf, type HeapTuple } from './heap-tuple.ts';

/** Oids of the catalogues that are followed. */
export const CATALOGUE = { class: 1259, namespace: 2615, database: 1262, tablespace: 1213 } as const;

/** Fields of a row of pg_class. */
export interface ClassRow {
  readonly oid: number;
  readonly name: string;
  readonly namespace: number;
  /** 0 for what has no file, or whose file the relation map names. */
  readonly relfilenode: number;
  /** 0: the database's own. */
  readonly tablespace: number;
  /** The planner's estimate of rows; -1: never vacuumed nor analyzed. */
  readonly rows: number;
  readonly pages: number;
  /** Oid of its TOAST table; 0: none. */
  readonly toast: number;
  readonly isShared: boolean;
  /** `p` permanent, `u` unlogged, `t` temporary. */
  readonly persistence: string;
  /** `r` table, `i` index, `S` sequence, `t` TOAST table, `v` view, `m` materialized view, `p` and `I` partitioned, … */
  readonly kind: string;
  readonly columns: number;
  /** Oid of the relation that is rewritten into this one; 0: none. */
  readonly rewrites: number;
}

const NAME_BYTES = 64;

/** Text in the encoding of the database, which is not known here: UTF-8 nearly everywhere. */
function nameAt(columns: Uint8Array, at: number): string {
  const field = columns.subarray(at, at + NAME_BYTES);
  const length = field.indexOf(0);
  return Buffer.from(field.subarray(0, length < 0 ? NAME_BYTES : length)).toString('utf8');
}

/** Reads a row of pg_class; 18 has relallfrozen before reltoastrelid. `undefined` for one that is too short. */
export function readClass(tuple: HeapTuple, major: PostgresMajor): ClassRow | undefined {
  const columns = columnsOf(tuple);
  const shift = major >= 18 ? 4 : 0;
  if (columns.length < 136 + shift) return undefined;
  const view = new DataView(columns.buffer, columns.byteOffset, columns.length);
  const letter = (at: number): string => String.fromCodePoint(view.getUint8(at));
  return {
    oid: view.getUint32(0, true),
    name: nameAt(columns, 4),
    namespace: view.getUint32(68, true),
    relfilenode: view.getUint32(88, true),
    tablespace: view.getUint32(92, true),
    pages: view.getInt32(96, true),
    rows: view.getFloat32(100, true),
    toast: view.getUint32(108 + shift, true),
    isShared: view.getUint8(113 + shift) !== 0,
    persistence: letter(114 + shift),
    kind: letter(115 + shift),
    columns: view.getInt16(116 + shift, true),
    rewrites: view.getUint32(128 + shift, true),
  };
}

/** The name in a row of pg_namespace, pg_database or pg_tablespace, which all begin with oid and name. */
export function readName(tuple: HeapTuple): string | undefined {
  const columns = columnsOf(tuple);
  return columns.length < 4 + NAME_BYTES ? undefined : nameAt(columns, 4);
}
