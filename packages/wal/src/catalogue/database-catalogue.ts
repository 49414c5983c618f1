import type { RelationId } from '../facts.ts';
import { CATALOGUE, type ClassRow } from './rows.ts';

/** Tablespace of relations shared by all databases. */
export const GLOBAL_TABLESPACE = 1664;

/** What is known of one database's relations, or with oid 0 of those that all databases share. */
export class DatabaseCatalogue {
  readonly oid: number;
  /** Where its catalogues are. */
  tablespace: number;
  /** Files of mapped catalogues by oid. */
  map: ReadonlyMap<number, number>;
  /** Names of schemas by oid. */
  schemas: Map<number, string> = new Map();
  readonly #classes = new Map<number, ClassRow>();
  readonly #byFile = new Map<number, number>();

  constructor(oid: number, tablespace: number, map: ReadonlyMap<number, number>) {
    this.oid = oid;
    this.tablespace = tablespace;
    this.map = map;
  }

  /** Rows of pg_class that everybody sees, files of mapped catalogues filled in. */
  get classes(): ReadonlyMap<number, ClassRow> {
    return this.#classes;
  }

  set(row: ClassRow): void {
    this.delete(row.oid);
    this.#classes.set(row.oid, row);
    if (row.relfilenode !== 0) this.#byFile.set(row.relfilenode, row.oid);
  }

  delete(oid: number): void {
    const row = this.#classes.get(oid);
    this.#classes.delete(oid);
    if (row !== undefined && this.#byFile.get(row.relfilenode) === oid) this.#byFile.delete(row.relfilenode);
  }

  byFile(relfilenode: number): ClassRow | undefined {
    const oid = this.#byFile.get(relfilenode);
    return oid === undefined ? undefined : this.#classes.get(oid);
  }

  /** Where one of the followed catalogues is now; `undefined` when nothing says so. */
  place(catalogue: number): RelationId | undefined {
    const { oid, tablespace } = this;
    const mapped = this.map.get(catalogue);
    if (mapped !== undefined) return { tablespace, database: oid, relfilenode: mapped };
    if (catalogue !== CATALOGUE.namespace || oid === 0) return undefined;
    const row = this.#classes.get(catalogue);
    const own = row === undefined || row.tablespace === 0 ? tablespace : row.tablespace;
    return { tablespace: own, database: oid, relfilenode: row?.relfilenode ?? catalogue };
  }

  /** As CREATE DATABASE copies it. */
  clone(oid: number, tablespace: number): DatabaseCatalogue {
    const copy = new DatabaseCatalogue(oid, tablespace, this.map);
    for (const row of this.#classes.values()) copy.set(row);
    copy.schemas = new Map(this.schemas);
    return copy;
  }
}
