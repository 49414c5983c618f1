/** What a transaction did, in words. @packageDocumentation */
import type { Action, ActionVerb } from '@keyframe/wal';
import type { LogEntry, TableRows } from './log-entry.ts';

const VERBS: Readonly<Record<ActionVerb, string>> = {
  create: 'CREATE',
  drop: 'DROP',
  alter: 'ALTER',
  rename: 'ALTER',
  truncate: 'TRUNCATE',
  rewrite: 'VACUUM FULL or CLUSTER',
  reindex: 'REINDEX',
  refresh: 'REFRESH',
  analyze: 'ANALYZE',
};

/** As SQL would say it: `ALTER TABLE public.orders`. */
function describeAction({ verb, object, name, to }: Action): string {
  const what = verb === 'analyze' || verb === 'rewrite' ? '' : ` ${object}`;
  const renamed = to === undefined ? '' : ` RENAME TO ${to}`;
  return `${VERBS[verb]}${what}${name === undefined ? '' : ` ${name}`}${renamed}`;
}

const KINDS = [
  ['DELETE', 'deleted'],
  ['UPDATE', 'updated'],
  ['INSERT', 'inserted'],
] as const;

/** `DELETE 10,000 rows · public.customers`, one line for each kind of change. */
function describeRows(table: TableRows): string[] {
  return KINDS.flatMap(([verb, field]) => {
    const count = table[field];
    if (count === 0) return [];
    return [`${verb} ${count.toLocaleString('en')} ${Math.abs(count) === 1 ? 'row' : 'rows'} · ${table.name}`];
  });
}

/** Everything that is worth a line. Empty for a transaction that wrote nothing a user would know. */
export function describeEntry(entry: LogEntry): string[] {
  if (entry.kind === 'restore-point') return [`restore point ${JSON.stringify(entry.words[0] ?? '')}`];
  const actions = entry.actions.filter(({ minor }) => minor !== true).map(describeAction);
  return [...actions, ...entry.tables.flatMap(describeRows), ...entry.words.map((each) => `message ${each}`)];
}
