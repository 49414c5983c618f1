import { type LogFilter, tablePattern } from './filter.ts';
import type { Outline, OutlineTable } from './outline.ts';
import { type KnownFiles, unnamedFile } from './table-names.ts';

/**
 * False for an outline in which nothing is that is asked for.
 * @throws {KeyframeError} INVALID_OPTION
 */
export function outlineFilter(filter: LogFilter, files: KnownFiles): (outline: Outline) => boolean {
  const { since, until, xid, ddl, minRows = 0 } = filter;
  const isTable = filter.table === undefined ? undefined : tablePattern(filter.table);
  const isMeant = (name: string | undefined): boolean => isTable === undefined || isTable(name ?? '');
  const isWithin = ({ times }: Outline): boolean =>
    times !== undefined &&
    (since === undefined || times.last >= since) &&
    (until === undefined || times.first <= until);
  const hasXid = ({ xids }: Outline, wanted: number): boolean =>
    xids !== undefined && ((wanted - xids.lowest) | 0) >= 0 && ((xids.highest - wanted) | 0) >= 0;
  return (outline) => {
    const { tables, actions } = outline;
    if (!isWithin(outline)) return false;
    if (xid !== undefined) return hasXid(outline, xid);
    if (actions === undefined) return true;
    if (ddl === true && !actions.some(({ isDefinition }) => isDefinition)) return false;
    if (isTable === undefined && minRows === 0) return true;
    return (
      // Tables that are only named there have no rows.
      tables.some((table) => table.most >= Math.max(1, minRows) && isMeant(knownName(table, files))) ||
      actions.some(({ name, rows }) => rows >= minRows && isMeant(name))
    );
  };
}

/** The name of a table, if only later WAL tells it. */
function knownName({ name }: OutlineTable, files: KnownFiles): string {
  const file = unnamedFile(name);
  return (file === undefined ? undefined : files.get(file)?.name) ?? name;
}
