import { KeyframeError } from '@keyframe/contracts';
import type { Action } from '@keyframe/wal';
import { describeEntry } from './describe-entry.ts';
import type { LogEntry, TableRows } from './log-entry.ts';
import { sizeOf } from './table-names.ts';

/** Which entries are shown. */
export interface LogFilter {
  /** Microseconds since 1970-01-01 UTC. */
  readonly since?: bigint | undefined;
  readonly until?: bigint | undefined;
  /** `schema.table`, `table`, or either with `*` for any letters. */
  readonly table?: string | undefined;
  /** Of one table, or those that went with it. */
  readonly minRows?: number | undefined;
  /** Only what changes definitions, or empties tables. */
  readonly ddl?: boolean | undefined;
  readonly xid?: number | undefined;
  /** What was rolled back too, and what wrote nothing that has a name. */
  readonly all?: boolean | undefined;
}

/** True for an entry that is asked for. */
export type EntryFilter = (entry: LogEntry) => boolean;

/** @throws {KeyframeError} INVALID_OPTION */
export function entryFilter(filter: LogFilter): EntryFilter {
  const { since, until, minRows, ddl, xid, all } = filter;
  const isTable = filter.table === undefined ? undefined : tablePattern(filter.table);
  return (entry) => {
    if (!isWithin(entry, since, until)) return false;
    if (xid !== undefined) return entry.xid === xid || entry.subtransactions.includes(xid);
    if (all !== true && (entry.outcome === 'abort' || describeEntry(entry).length === 0)) return false;
    if (isTable !== undefined && !namesTable(entry, isTable)) return false;
    if (ddl === true && !entry.actions.some(isDefinition)) return false;
    return minRows === undefined || hasRows(entry, minRows, isTable);
  };
}

function isWithin(entry: LogEntry, since: bigint | undefined, until: bigint | undefined): boolean {
  const last = entry.many?.lastTimeMicros ?? entry.timeMicros;
  return (since === undefined || last >= since) && (until === undefined || entry.timeMicros <= until);
}

/** Whether an action changes a definition, and is none that follows from another one. */
export const isDefinition = ({ verb, minor }: Action): boolean => verb !== 'analyze' && minor !== true;

function namesTable(entry: LogEntry, isTable: (name: string) => boolean): boolean {
  return (
    entry.tables.some(({ name }) => isTable(name)) ||
    entry.actions.some(({ name = '', to = '' }) => isTable(name) || isTable(to))
  );
}

function hasRows(entry: LogEntry, minRows: number, isTable: ((name: string) => boolean) | undefined): boolean {
  const isMeant = (name: string): boolean => isTable === undefined || isTable(name);
  const rows = (table: TableRows): number => sizeOf(table);
  return (
    entry.tables.some((table) => isMeant(table.name) && rows(table) >= minRows) ||
    entry.actions.some((action) => isMeant(action.name ?? '') && (action.rows ?? 0) >= minRows)
  );
}

/** Which names `--table` means. @throws {KeyframeError} INVALID_OPTION */
export function tablePattern(text: string): (name: string) => boolean {
  const trimmed = text.trim();
  if (trimmed === '')
    throw new KeyframeError('INVALID_OPTION', 'the name of the table is empty', {
      hint: 'Give --table a name such as public.customers, customers or public.*.',
    });
  const source = trimmed
    .split('*')
    .map((part) => RegExp.escape(part))
    .join('.*');
  const whole = new RegExp(`^${source}$`, 'u');
  // Without a schema: in any.
  const bare = trimmed.includes('.') ? undefined : new RegExp(`^[^.]*\\.${source}$`, 'u');
  return (name) => whole.test(name) || bare?.test(name) === true;
}
