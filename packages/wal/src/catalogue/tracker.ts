/**
 * Follows the catalogues that name relations, from their pages in a base backup on.
 * @packageDocumentation
 */
import type { RelationId } from '../facts.ts';
import type { CatalogueTracker, DecodedRecord } from '../lens/decoded-record.ts';
import type { SegmentIndex } from '../lens/segment-index.ts';
import { readDecodedEnd, type TransactionEnd } from '../lens/transaction-record.ts';
import type { CatalogueTransaction, ClassChange, NameChange } from './catalogue-changes.ts';
import { type CatalogueState, fileKey, type PendingWrites, relationOf } from './catalogue-state.ts';
import { DatabaseCatalogue, GLOBAL_TABLESPACE } from './database-catalogue.ts';
import { describeSegment } from './describe-segment.ts';
import { type HeapFile, oidOf } from './heap-file.ts';
import { redo, type RedoTarget } from './heap-redo.ts';
import type { HeapTuple } from './heap-tuple.ts';
import { encodeNotes } from './notes.ts';
import { toldOutcomes } from './outcomes.ts';
import { readRelationMap } from './relation-map.ts';
import { CATALOGUE, readClass, readName } from './rows.ts';
import { encodeState } from './state-codec.ts';

const RM = { xact: 1, smgr: 2, database: 4, relationMap: 7 } as const;
const OPCODE = 0xf0;
const SMGR = { create: 0x10, truncate: 0x20 } as const;
const DATABASE = { copy: 0x00, second: 0x10, drop: 0x20 } as const;
const TRUNCATES_MAIN = 1;
/** What a catalogue is called while it is written anew. */
const REWRITE_NAME = /^pg_temp_(\d+)$/;

/** Rows of one file that a transaction wrote, and what everybody saw of them before it ended. */
interface Ended {
  readonly key: string;
  readonly oid: number;
  readonly before: HeapTuple | undefined;
}

/** Keeps {@link CatalogueState} up with the WAL that a lens reads. */
export class Tracker implements CatalogueTracker {
  readonly state: CatalogueState;
  readonly #target: RedoTarget;
  readonly #keys = new WeakMap<HeapFile, string>();
  #transactions: CatalogueTransaction[] = [];
  #xid = 0;
  /** Databases whose pages changed other than row by row. */
  readonly #stale = new Set<DatabaseCatalogue>();

  constructor(state: CatalogueState) {
    this.state = state;
    this.#target = {
      major: state.major,
      file: (block) => state.file(block),
      touched: (file, tuple) => this.#touched(file, tuple),
      changedInPlace: (file, tuple) => this.#changedInPlace(file, tuple),
    };
  }

  get generation(): number {
    return this.state.generation;
  }

  wants(relation: RelationId): boolean {
    return this.state.file(relation) !== undefined;
  }

  apply(record: DecodedRecord): void {
    switch (record.resourceManager) {
      case RM.xact: {
        const end = readDecodedEnd(record, this.state.major);
        if (end !== undefined) this.#end(record, end);
        break;
      }
      case RM.smgr:
        this.#storage(record);
        break;
      case RM.database:
        this.#database(record);
        break;
      case RM.relationMap:
        this.#relationMap(record);
        break;
      default:
        this.#pages(record);
    }
  }

  endSegment(index: SegmentIndex): Uint8Array | undefined {
    const notes = describeSegment(this.state, this.#transactions, index);
    this.#transactions = [];
    this.#prune();
    return notes === undefined ? undefined : encodeNotes(notes);
  }

  snapshot(): Uint8Array {
    const needed = new Set<number>();
    for (const file of this.state.files.values())
      for (const [, { tuples }] of file.blocks())
        for (const tuple of tuples.values()) for (const [xid] of toldOutcomes(tuple)) needed.add(xid);
    this.state.outcomes.keep((xid) => needed.has(xid));
    return encodeState(this.state);
  }

  #pages(record: DecodedRecord): void {
    this.#xid = record.xid;
    redo(record, this.#target);
    // Whole pages in a row, as databases are copied.
    if (record.resourceManager !== 0) return;
    for (const block of record.blocks) {
      const file = block.fork === 0 ? this.state.file(block) : undefined;
      const role = file === undefined ? undefined : this.state.roleOf(this.#key(file));
      if (role !== undefined && role.database.oid !== 0) this.#stale.add(role.database);
    }
  }

  #key(file: HeapFile): string {
    const known = this.#keys.get(file);
    if (known !== undefined) return known;
    for (const [key, each] of this.state.files) this.#keys.set(each, key);
    return this.#keys.get(file) ?? '';
  }

  #touched(file: HeapFile, tuple: HeapTuple): void {
    const key = this.#key(file);
    const row = readClass(tuple, this.state.major);
    const oid = oidOf(tuple);
    if (oid === undefined) return;
    const pending = this.state.pendingOf(this.#xid);
    pending.touched.set(key, (pending.touched.get(key) ?? new Set()).add(oid));
    const role = this.state.roleOf(key);
    if (row === undefined || role?.catalogue !== CATALOGUE.class || tuple.xmin !== this.#xid) return;
    if (row.rewrites !== 0) pending.rewritten.add(row.rewrites);
    const { database } = role;
    if (database.classes.get(row.oid)?.relfilenode !== row.relfilenode) this.state.see(database.oid, row, this.#xid);
    this.#followRewrite(database, row.oid, row.name);
  }

  /** A catalogue that is written anew fills its new file before anything says that it will be its own. */
  #followRewrite(database: DatabaseCatalogue, oid: number, name: string): void {
    const catalogue = Number(REWRITE_NAME.exec(name)?.[1] ?? 0);
    const isShared = catalogue === CATALOGUE.database || catalogue === CATALOGUE.tablespace;
    if (!isShared && catalogue !== CATALOGUE.class && catalogue !== CATALOGUE.namespace) return;
    const owner = isShared ? this.state.shared : database;
    const tablespace = isShared ? GLOBAL_TABLESPACE : database.tablespace;
    const place = { tablespace, database: owner.oid, relfilenode: oid };
    if (this.state.file(place) === undefined) this.state.follow(place);
  }

  #changedInPlace(file: HeapFile, tuple: HeapTuple): void {
    const role = this.state.roleOf(this.#key(file));
    if (role?.catalogue !== CATALOGUE.class) return;
    const row = this.state.classRow(tuple, role.database);
    if (row !== undefined && role.database.classes.has(row.oid) && this.state.outcomes.isVisible(tuple) === 'yes')
      this.state.setClass(role.database, row.oid, row);
  }

  #storage({ info, mainData }: DecodedRecord): void {
    const view = new DataView(mainData.buffer, mainData.byteOffset, mainData.length);
    const opcode = info & OPCODE;
    const from = opcode === SMGR.create ? 0 : 4;
    if ((opcode !== SMGR.create && opcode !== SMGR.truncate) || mainData.length < from + 16) return;
    const relation = {
      tablespace: view.getUint32(from, true),
      database: view.getUint32(from + 4, true),
      relfilenode: view.getUint32(from + 8, true),
    };
    const file = this.state.file(relation);
    const last = view.getInt32(from + 12, true);
    if (file === undefined) return;
    if (opcode === SMGR.create && last === 0) file.truncate(0);
    if (opcode === SMGR.truncate && (last & TRUNCATES_MAIN) !== 0) file.truncate(view.getUint32(0, true));
  }

  #relationMap({ mainData }: DecodedRecord): void {
    if (mainData.length < 12) return;
    const view = new DataView(mainData.buffer, mainData.byteOffset, mainData.length);
    const oid = view.getUint32(0, true);
    const map = readRelationMap(mainData.subarray(12));
    if (map === undefined) return;
    const { state } = this;
    let database = oid === 0 ? state.shared : state.databases.get(oid);
    if (database === undefined) {
      database = new DatabaseCatalogue(oid, view.getUint32(4, true), map);
      state.databases.set(oid, database);
      this.#followSchemas(database);
    }
    database.map = map;
    for (const catalogue of Object.values(CATALOGUE)) {
      const place = database.place(catalogue);
      if (place !== undefined && state.file(place) === undefined) state.follow(place);
    }
    this.#stale.add(database);
    state.generation += 1;
  }

  /** Page by page a database is copied in any order, pg_namespace perhaps before the row that says where it is. */
  #followSchemas(database: DatabaseCatalogue): void {
    for (const other of this.state.databases.values()) {
      const place = other.place(CATALOGUE.namespace);
      if (place === undefined) continue;
      const tablespace = place.tablespace === other.tablespace ? database.tablespace : place.tablespace;
      const copy = { tablespace, database: database.oid, relfilenode: place.relfilenode };
      if (this.state.file(copy) === undefined) this.state.follow(copy);
    }
  }

  #database({ info, mainData }: DecodedRecord): void {
    const view = new DataView(mainData.buffer, mainData.byteOffset, mainData.length);
    const opcode = info & OPCODE;
    const { major } = this.state;
    if (mainData.length < 8) return;
    const oid = view.getUint32(0, true);
    const tablespace = view.getUint32(4, true);
    const drops = major === 14 ? opcode === DATABASE.second : opcode === DATABASE.drop;
    if (drops) this.#drop(oid, [...this.#oids(view, 8, tablespace)]);
    else if (opcode === DATABASE.copy && mainData.length >= 16)
      this.#copy({ oid, tablespace }, { oid: view.getUint32(8, true), tablespace: view.getUint32(12, true) });
  }

  *#oids(view: DataView, from: number, count: number): Generator<number> {
    for (let at = from; at < from + count * 4 && at + 4 <= view.byteLength; at += 4) yield view.getUint32(at, true);
  }

  /** The files of one tablespace were copied as they were on disk, which a checkpoint had just brought up to date. */
  #copy(to: { readonly oid: number; readonly tablespace: number }, from: typeof to): void {
    const { state } = this;
    const prefix = `${from.tablespace}/${from.oid}/`;
    for (const [key, file] of state.files)
      if (key.startsWith(prefix))
        state.follow(
          { tablespace: to.tablespace, database: to.oid, relfilenode: Number(key.slice(prefix.length)) },
          file.clone(),
        );
    const source = state.databases.get(from.oid);
    if (source === undefined || source.tablespace !== from.tablespace) return;
    if (to.oid === from.oid) source.tablespace = to.tablespace;
    else state.databases.set(to.oid, source.clone(to.oid, to.tablespace));
    state.generation += 1;
  }

  #drop(oid: number, tablespaces: readonly number[]): void {
    const { state } = this;
    for (const tablespace of tablespaces)
      for (const key of state.files.keys()) if (key.startsWith(`${tablespace}/${oid}/`)) state.files.delete(key);
    const database = state.databases.get(oid);
    if (database !== undefined && tablespaces.includes(database.tablespace)) state.databases.delete(oid);
    state.generation += 1;
  }

  #end(record: DecodedRecord, end: TransactionEnd): void {
    const { state } = this;
    const rewritten = new Set<number>();
    const ended: Ended[] = [];
    const xids = [end.xid, ...end.subtransactions];
    for (const xid of xids) {
      const pending = state.pending.get(xid);
      if (pending === undefined) continue;
      state.pending.delete(xid);
      if (end.outcome === 'abort') state.outcomes.set(xid, 'abort');
      else for (const each of this.#touchedBy(pending)) ended.push(each);
      for (const oid of pending.rewritten) rewritten.add(oid);
    }
    if (end.outcome === 'commit') {
      for (const xid of xids) if (ended.length > 0) state.outcomes.set(xid, 'commit');
      this.#commit(record, end, { ended, rewritten });
    }
    for (const each of end.dropped) state.forget(each);
  }

  *#touchedBy(pending: PendingWrites): Generator<Ended> {
    const { files, outcomes } = this.state;
    for (const [key, oids] of pending.touched)
      for (const oid of oids) yield { key, oid, before: outcomes.visible(files.get(key)?.versions(oid) ?? []) };
  }

  #commit(
    record: DecodedRecord,
    end: TransactionEnd,
    { ended, rewritten }: { readonly ended: readonly Ended[]; readonly rewritten: ReadonlySet<number> },
  ): void {
    const { state } = this;
    const names = ended.flatMap((each) => this.#nameChange(each) ?? []);
    const classes = ended.flatMap((each) => this.#classChange(each, rewritten) ?? []);
    // A schema that goes away with its tables is called by its name in what is said of these.
    this.#applyNames(names);
    if (this.#stale.size > 0) {
      for (const database of this.#stale) {
        if (database.oid !== 0) state.refresh(database);
        else for (const each of state.databases.values()) state.refresh(each);
      }
      if (this.#stale.has(state.shared)) state.refreshShared();
      this.#stale.clear();
    }
    for (const { database, oid, after } of classes) {
      const owner = state.databases.get(database);
      if (owner !== undefined) state.setClass(owner, oid, after);
      if (oid === CATALOGUE.namespace) state.generation += 1;
    }
    if (ended.length === 0 && end.invalidated.length === 0) return;
    const { xid, database } = end;
    const invalidated = end.invalidated.map((each) => {
      const home = state.databases.get(each.database);
      const row = home?.classes.get(each.oid);
      return { ...each, row, schema: row && home?.schemas.get(row.namespace) };
    });
    this.#transactions.push({ xid, lsn: record.lsn, database, classes, names, invalidated });
  }

  #classChange({ key, oid, before }: Ended, rewritten: ReadonlySet<number>): ClassChange | undefined {
    const { state } = this;
    const database = state.databases.get(relationOf(key).database);
    const place = database?.place(CATALOGUE.class);
    if (database === undefined || place === undefined) return undefined;
    if (state.roleOf(key)?.catalogue === CATALOGUE.namespace) return undefined;
    const now = state.files.get(fileKey(place))?.versions(oid) ?? [];
    const was = state.classRow(before, database) ?? database.classes.get(oid);
    const after = state.classRow(state.outcomes.visible(now), database);
    const row = after ?? was;
    if (row === undefined) return undefined;
    return {
      database: database.oid,
      oid,
      before: was,
      after,
      schema: this.#schema(database, row.namespace),
      schemaBefore: was === undefined ? undefined : this.#schema(database, was.namespace),
      isRewritten: rewritten.has(oid),
    };
  }

  /** The name before this transaction, or for a new schema the one that it gives it. */
  #schema(database: DatabaseCatalogue, oid: number): string | undefined {
    const known = database.schemas.get(oid);
    if (known !== undefined) return known;
    const place = database.place(CATALOGUE.namespace);
    const file = place === undefined ? undefined : this.state.file(place);
    const tuple = this.state.outcomes.visible(file?.versions(oid) ?? []);
    return tuple === undefined ? undefined : readName(tuple);
  }

  #nameChange({ key, oid, before }: Ended): NameChange | undefined {
    const { state } = this;
    const role = state.roleOf(key);
    if (role === undefined || role.catalogue === CATALOGUE.class) return undefined;
    const kinds = { [CATALOGUE.namespace]: 'schema', [CATALOGUE.database]: 'database' } as const;
    const kind = kinds[role.catalogue as keyof typeof kinds] ?? 'tablespace';
    const now = state.outcomes.visible(state.files.get(key)?.versions(oid) ?? []);
    const nameOf = (tuple: HeapTuple | undefined): string | undefined =>
      tuple === undefined ? undefined : readName(tuple);
    return { kind, database: role.database.oid, oid, before: nameOf(before), after: nameOf(now) };
  }

  #applyNames(names: readonly NameChange[]): void {
    const { state } = this;
    for (const { kind, database, oid, after } of names) {
      const schemas = state.databases.get(database)?.schemas;
      const map = kind === 'schema' ? schemas : kind === 'database' ? state.databaseNames : state.tablespaceNames;
      if (after === undefined) map?.delete(oid);
      else map?.set(oid, after);
    }
  }

  /** Forgets files that no record can name any more. */
  #prune(): void {
    const { seen, pending } = this.state;
    for (const [key, { xid }] of seen) if (xid === 0 || !pending.has(xid)) seen.delete(key);
  }
}
