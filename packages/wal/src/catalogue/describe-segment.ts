import type { RelationId } from '../facts.ts';
import {
  isInitialCatalogue,
  type RelationEffect,
  type SegmentIndex,
  type TransactionEffect,
} from '../lens/segment-index.ts';
import type { CatalogueTransaction } from './catalogue-changes.ts';
import { type CatalogueState, fileKey } from './catalogue-state.ts';
import { describeTransaction } from './describe-transaction.ts';
import type { NamedRelation, SegmentNotes, TransactionNotes } from './notes.ts';
import type { ClassRow } from './rows.ts';

/** Kinds of relations whose rows people count, and TOAST tables, which are counted with theirs. */
const WITH_ROWS = 'rmtp';

/** Names and definitions for what an index tells. */
export function describeSegment(
  state: CatalogueState,
  changes: readonly CatalogueTransaction[],
  index: SegmentIndex,
): SegmentNotes | undefined {
  const told = new Map(changes.map((each) => [each.lsn, each]));
  const transactions: TransactionNotes[] = [];
  for (const effect of index.transactions) {
    const { xid, lsn, database, outcome, truncated } = effect;
    if (outcome === 'abort') continue;
    const change = told.get(lsn) ?? { xid, lsn, database, classes: [], names: [], invalidated: [] };
    const actions = describeTransaction(state, change, catalogues(state, effect), truncated);
    const rewritten = change.classes.flatMap((each) =>
      each.isRewritten && each.after !== undefined ? [each.after.relfilenode] : [],
    );
    const note = { xid, lsn, actions };
    if (rewritten.length > 0) transactions.push({ ...note, rewritten });
    else if (actions.length > 0) transactions.push(note);
  }
  const relations: NamedRelation[] = [];
  for (const relation of relationsIn(index)) {
    const named = nameRelation(state, relation);
    if (named === undefined || !WITH_ROWS.includes(named.kind)) continue;
    const earlier = earlierNames(changes, relation.database, named.oid);
    relations.push(earlier.length === 0 ? named : { ...named, earlier });
  }
  return relations.length === 0 && transactions.length === 0 ? undefined : { relations, transactions };
}

/** What a relation was called before it was renamed in this segment. */
function earlierNames(
  changes: readonly CatalogueTransaction[],
  database: number,
  oid: number,
): NonNullable<NamedRelation['earlier']> {
  return changes.flatMap(({ lsn, classes }) =>
    classes.flatMap((change) => {
      const { before, after, schemaBefore } = change;
      if (change.oid !== oid || change.database !== database || before === undefined || after === undefined) return [];
      if (before.name === after.name && before.namespace === after.namespace) return [];
      return [{ until: lsn, schema: schemaBefore, name: before.name }];
    }),
  );
}

/** Rows written to each catalogue, by its name. */
function catalogues(state: CatalogueState, effect: TransactionEffect): Map<string, RelationEffect> {
  const written = new Map<string, RelationEffect>();
  for (const each of effect.tables) {
    if (each.inserted + each.updated + each.deleted === 0) continue;
    const named = nameRelation(state, each.relation);
    if (named?.schema === 'pg_catalog') written.set(named.name, each);
  }
  return written;
}

/** Each relation once whose rows or files the index tells of, but for catalogues that still have their first file. */
function relationsIn(index: SegmentIndex): Iterable<RelationId> {
  const found = new Map<string, RelationId>();
  const add = (relation: RelationId): void => {
    if (!isInitialCatalogue(relation)) found.set(fileKey(relation), relation);
  };
  const addEffects = (effects: readonly RelationEffect[]): void => {
    for (const each of effects) if (each.inserted + each.updated + each.deleted > 0) add(each.relation);
  };
  addEffects(index.relations);
  for (const { tables, dropped } of index.transactions) {
    addEffects(tables);
    for (const each of dropped) add(each);
  }
  for (const { tables } of index.folded) addEffects(tables);
  return found.values();
}

/** The relation of a file, as the catalogues have it now or had it lately. */
function nameRelation(state: CatalogueState, relation: RelationId): NamedRelation | undefined {
  const { database, relfilenode } = relation;
  const owner = database === 0 ? state.shared : state.databases.get(database);
  const seen = state.seen.get(`${database}/${relfilenode}`);
  const row = owner?.byFile(relfilenode) ?? seen?.row;
  if (row === undefined) return undefined;
  // Schemas of what all databases share are the same in each.
  const home = state.databases.get(seen?.database ?? database) ?? state.databases.values().next().value;
  return {
    relation,
    oid: row.oid,
    database: database === 0 ? undefined : state.databaseNames.get(database),
    schema: home?.schemas.get(row.namespace),
    name: row.name,
    kind: row.kind,
    persistence: row.persistence,
    rows: row.rows,
    owner: row.kind === 't' && home !== undefined ? toastOwner(home.classes, home.schemas, row) : undefined,
  };
}

function toastOwner(
  classes: ReadonlyMap<number, ClassRow>,
  schemas: ReadonlyMap<number, string>,
  toast: ClassRow,
): NamedRelation['owner'] {
  // Named for its table, whose own row says so too.
  const oid = Number(/^pg_toast_(\d+)$/.exec(toast.name)?.[1] ?? 0);
  const table = classes.get(oid);
  return table === undefined ? undefined : { schema: schemas.get(table.namespace), name: table.name };
}
