/** Which files of relations are not the files they were, by what the WAL says. @packageDocumentation */
import type { RelationFile } from '@keyframe/postgres';
import type { RelationId, WalFact } from '@keyframe/wal';
import { MarkedPages } from './marked-pages.ts';

/** A database within a tablespace: the directory its files lie in. */
type Directory = string;

const directoryOf = (tablespace: number, database: number): Directory => `${tablespace}/${database}`;

/** Above so many relations of one directory all of it counts as changed: memory stays bounded. */
const MANY_RELATIONS = 100_000;

/**
 * Gathers what happened to files over a stretch of WAL. A page's LSN speaks only for the file it was written to: a database
 * copied as files, or a relation created under a name that was used before, brings pages whose LSNs are older than they are.
 */
export class RelationChanges {
  /** For each relation, the block from which on nothing is as before; a whole directory where there is no map. */
  readonly #directories = new Map<Directory, Map<number, number> | 'all'>();
  #unlogged = false;
  /** Pages that changed under their old LSNs; only where the cluster has no checksums. */
  readonly marked: MarkedPages = new MarkedPages();

  /** True when the server wrote without WAL for a while, so that the WAL proves nothing. */
  get unlogged(): boolean {
    return this.#unlogged;
  }

  see(fact: WalFact): void {
    if (fact.kind === 'relation-create' && fact.isMain) this.#cut(fact, 0);
    else if (fact.kind === 'relation-truncate' && fact.isMain) this.#cut(fact, fact.blocks);
    else if (fact.kind === 'page-visible') this.marked.add(fact);
    else if (fact.kind === 'relation-map') this.#changed(fact.tablespace, fact.database);
    else if (fact.kind === 'database-create' || fact.kind === 'database-drop')
      for (const tablespace of fact.tablespaces) this.#changed(tablespace, fact.database);
    else if (fact.kind === 'parameter-change' && fact.walLevel === 'minimal') this.#unlogged = true;
  }

  /** The block of the relation from which on its pages are not what they were; Infinity when nothing happened to it. */
  keptBlocks({ tablespace, database, relfilenode }: RelationId): number {
    const directory = this.#directories.get(directoryOf(tablespace, database));
    return directory === 'all' ? 0 : (directory?.get(relfilenode) ?? Infinity);
  }

  #changed(tablespace: number, database: number): void {
    this.#directories.set(directoryOf(tablespace, database), 'all');
  }

  #cut({ tablespace, database, relfilenode }: RelationId, blocks: number): void {
    const key = directoryOf(tablespace, database);
    let relations = this.#directories.get(key);
    if (relations === 'all') return;
    if (relations === undefined) {
      relations = new Map();
      this.#directories.set(key, relations);
    }
    relations.set(relfilenode, Math.min(blocks, relations.get(relfilenode) ?? Infinity));
    if (relations.size > MANY_RELATIONS) this.#directories.set(key, 'all');
  }
}

/** The relations of which pages were taken over on the word of their LSNs. */
export class KeptRelations {
  readonly #directories = new Map<Directory, Set<number>>();

  add({ tablespace, database, relfilenode }: RelationFile): void {
    const key = directoryOf(tablespace, database);
    const relations = this.#directories.get(key);
    if (relations === undefined) this.#directories.set(key, new Set([relfilenode]));
    else relations.add(relfilenode);
  }

  /**
   * True when a fact from the time of the copy makes one of them doubtful. A cut does not: what was read behind it was read
   * before it. Nor does a moved catalogue: its new file is created by a record of its own.
   */
  isDoubtful(fact: WalFact): boolean {
    if (fact.kind === 'relation-create')
      return (
        fact.isMain &&
        this.#directories.get(directoryOf(fact.tablespace, fact.database))?.has(fact.relfilenode) === true
      );
    if (fact.kind === 'database-create' || fact.kind === 'database-drop')
      return fact.tablespaces.some((tablespace) => this.#directories.has(directoryOf(tablespace, fact.database)));
    return fact.kind === 'parameter-change' && fact.walLevel === 'minimal';
  }
}
