/** Relations, and what was done to their rows, as bytes. @packageDocumentation */
import type { RelationEffect, RelationId } from '@keyframe/wal';
import type { ByteReader, ByteWriter } from '../format/bytes.ts';

/** Relations of one object, numbered as they come. */
export class RelationNames {
  readonly all: RelationId[] = [];
  readonly #numbers = new Map<string, number>();

  numberOf(relation: RelationId): number {
    const key = `${relation.tablespace}/${relation.database}/${relation.relfilenode}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const { tablespace, database, relfilenode } = relation;
    this.#numbers.set(key, this.all.length);
    return this.all.push({ tablespace, database, relfilenode }) - 1;
  }
}

export function writeRelations(writer: ByteWriter, relations: readonly RelationId[]): void {
  writer.varint(relations.length);
  for (const { tablespace, database, relfilenode } of relations) {
    writer.varint(tablespace);
    writer.varint(database);
    writer.varint(relfilenode);
  }
}

export function readRelations(reader: ByteReader): RelationId[] {
  return each(reader, () => ({
    tablespace: reader.varint(),
    database: reader.varint(),
    relfilenode: reader.varint(),
  }));
}

/** As many as a varint says. A count that the bytes cannot hold ends where they do. */
export function each<Item>(reader: ByteReader, read: () => Item): Item[] {
  const items: Item[] = [];
  for (let left = reader.varint(); left > 0; left--) items.push(read());
  return items;
}

/** What the numbers of relations mean. */
export type Relations = readonly RelationId[];

const NO_RELATION: RelationId = { tablespace: 0, database: 0, relfilenode: 0 };

export function writeTables(writer: ByteWriter, tables: readonly RelationEffect[], names: RelationNames): void {
  writer.varint(tables.length);
  for (const { relation, inserted, updated, deleted, pages } of tables) {
    writer.varint(names.numberOf(relation));
    writer.signed(inserted);
    writer.varint(updated);
    writer.varint(deleted);
    writer.varint(pages);
  }
}

export function readTables(reader: ByteReader, relations: Relations): RelationEffect[] {
  return each(reader, () => ({
    relation: relations[reader.varint()] ?? NO_RELATION,
    inserted: reader.signed(),
    updated: reader.varint(),
    deleted: reader.varint(),
    pages: reader.varint(),
  }));
}
