/**
 * From rows of catalogues back to the statement that wrote them, as far as they tell.
 * @packageDocumentation
 */
import type { RelationEffect } from '../lens/segment-index.ts';
import type { CatalogueTransaction, ClassChange, NameChange } from './catalogue-changes.ts';
import type { CatalogueState } from './catalogue-state.ts';
import type { Action, ActionVerb } from './notes.ts';
import type { ClassRow } from './rows.ts';

/** What SQL calls the kinds of pg_class. */
const OBJECTS: Readonly<Record<string, string>> = {
  r: 'TABLE',
  p: 'TABLE',
  i: 'INDEX',
  I: 'INDEX',
  S: 'SEQUENCE',
  v: 'VIEW',
  m: 'MATERIALIZED VIEW',
  c: 'TYPE',
  f: 'FOREIGN TABLE',
};
/** What belongs to another relation, as a rule. */
const PARTS = 'iISc';

/** Catalogues whose rows are objects of their own. */
const OWN_OBJECTS: Readonly<Record<string, string>> = {
  pg_proc: 'FUNCTION',
  pg_type: 'TYPE',
  pg_authid: 'ROLE',
  pg_auth_members: 'ROLE MEMBERSHIP',
  pg_extension: 'EXTENSION',
  pg_trigger: 'TRIGGER',
  pg_policy: 'POLICY',
  pg_publication: 'PUBLICATION',
  pg_publication_rel: 'PUBLICATION',
  pg_subscription: 'SUBSCRIPTION',
  pg_event_trigger: 'EVENT TRIGGER',
  pg_foreign_server: 'SERVER',
  pg_foreign_data_wrapper: 'FOREIGN DATA WRAPPER',
  pg_user_mapping: 'USER MAPPING',
  pg_statistic_ext: 'STATISTICS',
  pg_collation: 'COLLATION',
  pg_operator: 'OPERATOR',
  pg_cast: 'CAST',
  pg_language: 'LANGUAGE',
  pg_ts_config: 'TEXT SEARCH CONFIGURATION',
  pg_ts_dict: 'TEXT SEARCH DICTIONARY',
  pg_default_acl: 'DEFAULT PRIVILEGES',
  pg_db_role_setting: 'SETTING',
  pg_description: 'COMMENT',
  pg_shdescription: 'COMMENT',
  pg_rewrite: 'RULE',
  pg_constraint: 'CONSTRAINT',
};

/** Catalogues that statistics of the planner are in; pg_class has the number of rows. */
const STATISTICS = new Set(['pg_statistic', 'pg_statistic_ext_data', 'pg_class']);

/** What a transaction did to definitions. Temporary relations are left out. */
export function describeTransaction(
  state: CatalogueState,
  change: CatalogueTransaction,
  written: ReadonlyMap<string, RelationEffect>,
  truncated: readonly number[],
): readonly Action[] {
  const actions = [
    ...change.names.flatMap((each) => describeName(state, each) ?? []),
    ...change.classes.flatMap((each) => describeClass(state, each, truncated) ?? []),
  ];
  const named = new Set(change.classes.map(({ oid }) => oid));
  const isAnalyze = written.size > 0 && [...written.keys()].every((name) => STATISTICS.has(name));
  const altered = written.size === 0 ? [] : describeInvalidated(state, change, named, isAnalyze ? 'analyze' : 'alter');
  const all = markMinor([...actions, ...altered]);
  if (all.length > 0 || isAnalyze) return all;
  return describeOwn(state, change, written);
}

function describeName(state: CatalogueState, { kind, database, before, after }: NameChange): Action | undefined {
  const isTemporary = kind === 'schema' && /^pg_(?:toast_)?temp_/.test(after ?? before ?? '');
  if (isTemporary) return undefined;
  const base = { object: kind.toUpperCase(), name: before ?? after };
  const home = kind === 'schema' ? { database: state.databaseNames.get(database) } : {};
  if (before === after) return before === undefined ? undefined : { verb: 'alter', ...base, ...home };
  if (before === undefined) return { verb: 'create', ...base, ...home };
  return after === undefined ? { verb: 'drop', ...base, ...home } : { verb: 'rename', ...base, ...home, to: after };
}

const qualified = (schema: string | undefined, name: string): string =>
  schema === undefined ? name : `${schema}.${name}`;

function describeClass(state: CatalogueState, change: ClassChange, truncated: readonly number[]): Action | undefined {
  const { before, after } = change;
  const row = after ?? before;
  const object = OBJECTS[row?.kind ?? ''];
  const isShown = row !== undefined && row.persistence !== 't' && change.schema !== 'pg_toast';
  if (!isShown || object === undefined) return undefined;
  const name = qualified(change.schemaBefore ?? change.schema, (before ?? row).name);
  const base = { object, name, database: state.databaseNames.get(change.database) };
  if (before === undefined) return { verb: 'create', ...base };
  const rows = before.rows > 0 ? { rows: Math.round(before.rows) } : {};
  if (after === undefined) return { verb: 'drop', ...base, ...rows };
  const to = qualified(change.schema, after.name);
  if (to !== name) return { verb: 'rename', ...base, to };
  const verb = verbOf(change, before, after, truncated);
  return verb === 'truncate' ? { verb, ...base, ...rows } : { verb, ...base };
}

/** A relation that stays, under its name. */
function verbOf(change: ClassChange, before: ClassRow, after: ClassRow, truncated: readonly number[]): ActionVerb {
  if (truncated.includes(change.oid)) return 'truncate';
  if (before.relfilenode === after.relfilenode) return 'alter';
  const isSameShape = before.columns === after.columns && before.persistence === after.persistence;
  if (change.isRewritten) return after.kind === 'm' ? 'refresh' : isSameShape ? 'rewrite' : 'alter';
  // A new file that was not written from the old one: empty, or moved as it is to another tablespace.
  if (before.tablespace !== after.tablespace || !isSameShape) return 'alter';
  if ('iI'.includes(after.kind)) return 'reindex';
  return 'rm'.includes(after.kind) ? 'truncate' : 'alter';
}

function describeInvalidated(
  state: CatalogueState,
  { invalidated }: CatalogueTransaction,
  named: ReadonlySet<number>,
  verb: ActionVerb,
): Action[] {
  const actions: Action[] = [];
  const seen = new Set<number>();
  for (const { database, oid, row, schema } of invalidated) {
    const object = OBJECTS[row?.kind ?? ''];
    if (row === undefined || object === undefined || named.has(oid) || seen.has(oid)) continue;
    // An index is told anew when its table is; a catalogue when it is vacuumed.
    if (PARTS.includes(row.kind) || row.persistence === 't' || schema === 'pg_catalog' || schema === 'pg_toast')
      continue;
    seen.add(oid);
    const name = qualified(schema, row.name);
    actions.push({ verb, object, name, database: state.databaseNames.get(database) });
  }
  return actions;
}

/** What only follows from something else: parts of a relation, and tables that are told anew because another is. */
function markMinor(actions: readonly Action[]): Action[] {
  const isPart = ({ object }: Action): boolean => object === 'INDEX' || object === 'SEQUENCE' || object === 'TYPE';
  const wholes = new Set(actions.filter((each) => !isPart(each)).map(({ verb }) => verb));
  const makes = actions.some(({ verb }) => verb !== 'alter' && verb !== 'analyze');
  return actions.map((each) => {
    const { verb } = each;
    const follows = isPart(each)
      ? wholes.has(verb) ||
        (verb === 'reindex' && (wholes.has('truncate') || wholes.has('rewrite') || wholes.has('alter')))
      : verb === 'alter' && makes;
    return follows ? { ...each, minor: true } : each;
  });
}

/** Nothing about relations: functions, roles and the like, of which the names are not followed. */
function describeOwn(
  state: CatalogueState,
  { database }: CatalogueTransaction,
  written: ReadonlyMap<string, RelationEffect>,
): Action[] {
  const actions: Action[] = [];
  for (const [catalogue, { inserted, updated, deleted }] of written) {
    const object = OWN_OBJECTS[catalogue];
    if (object === undefined || actions.some((each) => each.object === object)) continue;
    const verb = updated > 0 || (inserted > 0 && deleted > 0) ? 'alter' : inserted > 0 ? 'create' : 'drop';
    const isType = object === 'TYPE' || object === 'CONSTRAINT' || object === 'RULE' || object === 'COMMENT';
    actions.push({
      verb,
      object,
      database: state.databaseNames.get(database),
      ...(isType && actions.length > 0 ? { minor: true } : {}),
    });
  }
  return actions;
}
