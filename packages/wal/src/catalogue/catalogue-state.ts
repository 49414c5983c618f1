import type { RelationId } from '../facts.ts';
import type { PostgresMajor } from '../page-header.ts';
import { DatabaseCatalogue, GLOBAL_TABLESPACE } from './database-catalogue.ts';
import { HeapFile } from './heap-file.ts';
import type { HeapTuple } from './heap-tuple.ts';
import { Outcomes } from './outcomes.ts';
import { CATALOGUE, type ClassRow, readClass, readName } from './rows.ts';

/** Rows that a transaction under way wrote, by the file they are in. */
export interface PendingWrites {
  readonly touched: Map<string, Set<number>>;
  /** Oids of relations that it writes anew into other files. */
  readonly rewritten: Set<number>;
}

/** A file of a relation that is no more, or not yet: what its row in pg_class said. */
export interface SeenFile {
  readonly database: number;
  readonly row: ClassRow;
  /** Xid that wrote the row; 0: the relation was there and is not any more. */
  readonly xid: number;
}

/** One of the catalogues that are followed, and whose it is. */
export interface CatalogueRole {
  readonly database: DatabaseCatalogue;
  readonly catalogue: number;
}

/** The name of a file among those that are followed. */
export function fileKey({ tablespace, database, relfilenode }: RelationId): string {
  return `${tablespace}/${database}/${relfilenode}`;
}

/** Reads back what {@link fileKey} made. */
export function relationOf(key: string): RelationId {
  const [tablespace = 0, database = 0, relfilenode = 0] = key.split('/').map(Number);
  return { tablespace, database, relfilenode };
}

/** What the catalogues of a cluster hold at one place of its WAL. */
export class CatalogueState {
  readonly major: PostgresMajor;
  readonly databases: Map<number, DatabaseCatalogue> = new Map();
  readonly shared: DatabaseCatalogue = new DatabaseCatalogue(0, GLOBAL_TABLESPACE, new Map());
  databaseNames: Map<number, string> = new Map();
  tablespaceNames: Map<number, string> = new Map();
  readonly outcomes: Outcomes;
  /** Pages of the followed catalogues, and of files that may become one. */
  readonly files: Map<string, HeapFile> = new Map();
  readonly pending: Map<number, PendingWrites> = new Map();
  /** By `database/relfilenode`. */
  readonly seen: Map<string, SeenFile> = new Map();
  /** Counts up when other files are followed. */
  generation = 0;
  readonly #numbers = new Set<number>();

  constructor(major: PostgresMajor, outcomes: Outcomes = new Outcomes()) {
    this.major = major;
    this.outcomes = outcomes;
  }

  file(relation: RelationId): HeapFile | undefined {
    return this.#numbers.has(relation.relfilenode) ? this.files.get(fileKey(relation)) : undefined;
  }

  /** Follows a file from here on, from empty pages or from those of `content`. */
  follow(relation: RelationId, content: HeapFile = new HeapFile()): HeapFile {
    this.files.set(fileKey(relation), content);
    this.#numbers.add(relation.relfilenode);
    this.generation += 1;
    return content;
  }

  forget(relation: RelationId): void {
    if (this.files.delete(fileKey(relation))) this.generation += 1;
  }

  /** Which catalogue the file of this key is now; `undefined` for one that is none yet, or none any more. */
  roleOf(key: string): CatalogueRole | undefined {
    const { database } = relationOf(key);
    if (database === 0)
      return this.#role(this.shared, key, CATALOGUE.database) ?? this.#role(this.shared, key, CATALOGUE.tablespace);
    const owner = this.databases.get(database);
    if (owner === undefined) return undefined;
    return this.#role(owner, key, CATALOGUE.class) ?? this.#role(owner, key, CATALOGUE.namespace);
  }

  #role(database: DatabaseCatalogue, key: string, catalogue: number): CatalogueRole | undefined {
    const place = database.place(catalogue);
    return place !== undefined && fileKey(place) === key ? { database, catalogue } : undefined;
  }

  /** The row as it is kept: mapped catalogues get the file that the map names. */
  classRow(tuple: HeapTuple | undefined, database: DatabaseCatalogue): ClassRow | undefined {
    const row = tuple === undefined ? undefined : readClass(tuple, this.major);
    if (row === undefined || row.relfilenode !== 0) return row;
    const mapped = (row.isShared ? this.shared : database).map.get(row.oid);
    return mapped === undefined ? row : { ...row, relfilenode: mapped };
  }

  /** Makes a row of pg_class the current one, or with `undefined` removes it. */
  setClass(database: DatabaseCatalogue, oid: number, row: ClassRow | undefined): void {
    const before = database.classes.get(oid);
    if (before !== undefined && before.relfilenode !== row?.relfilenode) this.see(database.oid, before, 0);
    if (row === undefined) database.delete(oid);
    else database.set(row);
    if (row?.isShared === true) this.shared.set(row);
  }

  /** Keeps what is said of a file in mind for as long as records may name it. */
  see(database: number, row: ClassRow, xid: number): void {
    if (row.relfilenode !== 0)
      this.seen.set(`${row.isShared ? 0 : database}/${row.relfilenode}`, { database, row, xid });
  }

  /** What a transaction under way wrote so far. */
  pendingOf(xid: number): PendingWrites {
    const known = this.pending.get(xid);
    if (known !== undefined) return known;
    this.outcomes.begin(xid);
    const made: PendingWrites = { touched: new Map(), rewritten: new Set() };
    this.pending.set(xid, made);
    return made;
  }

  /** Reads a database's relations and schemas anew from its pages. */
  refresh(database: DatabaseCatalogue): void {
    const classes = this.#content(database, CATALOGUE.class);
    if (classes !== undefined) {
      const gone = new Set(database.classes.keys());
      for (const oid of classes.oids()) {
        const row = this.classRow(this.outcomes.visible(classes.versions(oid)), database);
        if (row === undefined) continue;
        gone.delete(oid);
        this.setClass(database, oid, row);
      }
      for (const oid of gone) this.setClass(database, oid, undefined);
    }
    const schemas = this.#content(database, CATALOGUE.namespace);
    if (schemas !== undefined) database.schemas = this.#names(schemas);
  }

  /** Reads the names of databases and tablespaces anew. */
  refreshShared(): void {
    const databases = this.#content(this.shared, CATALOGUE.database);
    if (databases !== undefined) this.databaseNames = this.#names(databases);
    const tablespaces = this.#content(this.shared, CATALOGUE.tablespace);
    if (tablespaces !== undefined) this.tablespaceNames = this.#names(tablespaces);
  }

  #content(database: DatabaseCatalogue, catalogue: number): HeapFile | undefined {
    const place = database.place(catalogue);
    return place === undefined ? undefined : this.file(place);
  }

  #names(file: HeapFile): Map<number, string> {
    const names = new Map<number, string>();
    for (const oid of file.oids()) {
      const tuple = this.outcomes.visible(file.versions(oid));
      const name = tuple === undefined ? undefined : readName(tuple);
      if (name !== undefined) names.set(oid, name);
    }
    return names;
  }
}
