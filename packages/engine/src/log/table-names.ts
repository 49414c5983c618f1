import type { Lsn } from '@keyframe/contracts';
import {
  decodeNotes,
  isInitialCatalogue,
  type NamedRelation,
  type RelationEffect,
  type RelationId,
  type SegmentNotes,
} from '@keyframe/wal';
import type { TableRows } from './log-entry.ts';

/** A file of a relation, as text. */
export const fileOf = ({ tablespace, database, relfilenode }: RelationId): string =>
  `${tablespace}/${database}/${relfilenode}`;

/** What a table is called of which no name is known: this, and its file. */
const UNNAMED = 'relation ';

/** The file of a table that has no name. */
export function unnamedFile(name: string): string | undefined {
  return name.startsWith(UNNAMED) ? name.slice(UNNAMED.length) : undefined;
}

/** What a file is called by WAL that is not read here. */
export type KnownFiles = ReadonlyMap<string, { readonly name: string; readonly database: string | undefined }>;

const NOTHING: SegmentNotes = { relations: [], transactions: [] };
const SYSTEM_SCHEMAS = new Set(['pg_catalog', 'information_schema', 'pg_toast']);

/** Whether it is a table that people made. */
export const isOwnTable = ({ kind, schema = '' }: NamedRelation): boolean =>
  kind !== 't' && !SYSTEM_SCHEMAS.has(schema);

/** Names of the files of relations, learnt segment by segment. */
export class TableNames {
  readonly #named = new Map<string, NamedRelation>();
  readonly #databases = new Map<number, string>();
  readonly #known: KnownFiles;

  constructor(known: KnownFiles = new Map()) {
    this.#known = known;
  }

  /** What the index of a segment says beside rows. Call it for every segment, in order. */
  learn(notes: Uint8Array | undefined): SegmentNotes {
    if (notes === undefined) return NOTHING;
    const decoded = decodeNotes(notes);
    for (const each of decoded.relations) {
      this.#named.set(fileOf(each.relation), each);
      if (each.database !== undefined) this.#databases.set(each.relation.database, each.database);
    }
    return decoded;
  }

  database(oid: number): string | undefined {
    return this.#databases.get(oid);
  }

  /**
   * Rows of tables that people made, as these were called at `at`, the largest first. TOAST tables are parts of theirs, catalogues
   * are told as actions.
   */
  rowsOf(tables: readonly RelationEffect[], at: Lsn): TableRows[] {
    const byName = new Map<string, TableRows>();
    for (const each of tables) {
      const rows = this.#rowsOf(each, at);
      if (rows === undefined) continue;
      // A table that was truncated in between has written to two files.
      const key = `${rows.database ?? ''} ${rows.name}`;
      const other = byName.get(key);
      byName.set(key, other === undefined ? rows : added(other, rows));
    }
    return [...byName.values()].toSorted((one, other) => sizeOf(other) - sizeOf(one));
  }

  /** The same with a name that was learnt only later: of WAL from before the first backup. */
  again(table: TableRows): TableRows {
    const file = unnamedFile(table.name);
    if (file === undefined) return table;
    const named = this.#named.get(file);
    if (named !== undefined) return { ...table, name: nameOf(named), database: named.database };
    const known = this.#known.get(file);
    return known === undefined ? table : { ...table, ...known };
  }

  #rowsOf({ relation, inserted, updated, deleted }: RelationEffect, at: Lsn): TableRows | undefined {
    if (inserted === 0 && updated === 0 && deleted === 0) return undefined;
    const named = this.#named.get(fileOf(relation));
    if (named === undefined) {
      if (isInitialCatalogue(relation) || relation.database === 0) return undefined;
      const database = this.database(relation.database);
      return { name: `${UNNAMED}${fileOf(relation)}`, database, inserted, updated, deleted };
    }
    if (!isOwnTable(named)) return undefined;
    const { rows, database } = named;
    const name = nameOf(named.earlier?.find(({ until }) => at < until) ?? named);
    return { name, database, inserted, updated, deleted, ...(rows < 0 ? {} : { about: Math.round(rows) }) };
  }
}

/** With its schema, where that is known. */
export const nameOf = ({ schema, name }: Pick<NamedRelation, 'schema' | 'name'>): string =>
  schema === undefined ? name : `${schema}.${name}`;

const added = (one: TableRows, other: TableRows): TableRows => ({
  ...one,
  inserted: one.inserted + other.inserted,
  updated: one.updated + other.updated,
  deleted: one.deleted + other.deleted,
});

/** Rows of all kinds. */
export function sizeOf({ inserted, updated, deleted }: TableRows): number {
  return inserted + updated + deleted;
}
