/** What a search must know of many segments together to pass them over. @packageDocumentation */
import { KeyframeError } from '@keyframe/contracts';
import { decodeNotes, type SegmentIndex } from '@keyframe/wal';
import { EntryReader } from './entries.ts';
import { isDefinition } from './filter.ts';
import type { LogEntry } from './log-entry.ts';
import { fileOf, isOwnTable, nameOf, sizeOf } from './table-names.ts';

/** What was done to one table. */
export interface OutlineTable {
  readonly database: string | undefined;
  readonly name: string;
  /** Committed transactions that deleted from it, and rows they deleted; the same for updates. */
  deletes: number;
  deleted: number;
  updates: number;
  updated: number;
  /** The most rows that one transaction wrote, whatever became of it. */
  most: number;
  /** Its files, as {@link fileOf} writes them. */
  readonly files: Set<string>;
}

/** A name in what was done to definitions. */
export interface OutlineAction {
  readonly name: string | undefined;
  rows: number;
  isDefinition: boolean;
}

/** What segments tell, together. */
export interface Outline {
  /** Transactions, many that are alike as one, and restore points. */
  readonly entries: number;
  readonly times: { readonly first: bigint; readonly last: bigint } | undefined;
  /** Xids go round. */
  readonly xids: { readonly lowest: number; readonly highest: number } | undefined;
  readonly tables: readonly OutlineTable[];
  /** `undefined`: too many to be told. */
  readonly actions: readonly OutlineAction[] | undefined;
}

const FORMAT = 1;
/** More names than these are not told. */
const MOST_ACTIONS = 4096;

/** Sums up segments in the order of WAL. */
export function outlineOf(segments: readonly SegmentIndex[]): Outline {
  const reader = new EntryReader();
  const draft = new OutlineDraft();
  for (const segment of segments) {
    if (segment.notes !== undefined)
      for (const each of decodeNotes(segment.notes).relations)
        if (isOwnTable(each)) draft.table(each.database, nameOf(each)).files.add(fileOf(each.relation));
    for (const entry of reader.read(segment)) draft.add(entry);
  }
  return draft.finish();
}

class OutlineDraft {
  readonly #tables = new Map<string, OutlineTable>();
  readonly #actions = new Map<string, OutlineAction>();
  #entries = 0;
  #times: { first: bigint; last: bigint } | undefined;
  #xids: { lowest: number; highest: number } | undefined;

  table(database: string | undefined, name: string): OutlineTable {
    const key = `${database ?? ''} ${name}`;
    const known = this.#tables.get(key);
    if (known !== undefined) return known;
    const none = { deletes: 0, deleted: 0, updates: 0, updated: 0, most: 0, files: new Set<string>() };
    const made = { database, name, ...none };
    this.#tables.set(key, made);
    return made;
  }

  add(entry: LogEntry): void {
    this.#entries += 1;
    this.#see(entry);
    const count = entry.many?.count ?? 1;
    for (const rows of entry.tables) {
      const table = this.table(rows.database, rows.name);
      table.most = Math.max(table.most, sizeOf(rows));
      if (entry.outcome === 'abort') continue;
      if (rows.deleted > 0) table.deletes += count;
      if (rows.updated > 0) table.updates += count;
      table.deleted += rows.deleted * count;
      table.updated += rows.updated * count;
    }
    for (const action of entry.actions)
      for (const name of new Set([action.name, action.to ?? action.name])) {
        const known = this.#actions.get(name ?? '') ?? { name, rows: 0, isDefinition: false };
        this.#actions.set(name ?? '', known);
        known.rows = Math.max(known.rows, action.rows ?? 0);
        known.isDefinition ||= isDefinition(action);
      }
  }

  #see({ kind, timeMicros, many, xid, subtransactions }: LogEntry): void {
    const last = many?.lastTimeMicros ?? timeMicros;
    const [earliest, latest] = last < timeMicros ? [last, timeMicros] : [timeMicros, last];
    this.#times ??= { first: earliest, last: latest };
    if (earliest < this.#times.first) this.#times.first = earliest;
    if (latest > this.#times.last) this.#times.last = latest;
    if (kind === 'restore-point') return;
    for (const each of [xid, many?.highestXid ?? xid, ...subtransactions]) {
      this.#xids ??= { lowest: each, highest: each };
      if (((each - this.#xids.lowest) | 0) < 0) this.#xids.lowest = each;
      if (((this.#xids.highest - each) | 0) < 0) this.#xids.highest = each;
    }
  }

  finish(): Outline {
    const actions = this.#actions.size > MOST_ACTIONS ? undefined : [...this.#actions.values()];
    return {
      entries: this.#entries,
      times: this.#times,
      xids: this.#xids,
      tables: [...this.#tables.values()],
      actions,
    };
  }
}

interface StoredOutline {
  readonly format: number;
  readonly entries: number;
  readonly times?: readonly [first: number, last: number] | undefined;
  readonly xids?: readonly [lowest: number, highest: number] | undefined;
  readonly tables: readonly (readonly [
    database: string | null,
    name: string,
    deletes: number,
    deleted: number,
    updates: number,
    updated: number,
    most: number,
    files: readonly string[],
  ])[];
  readonly actions?: readonly (readonly [name: string | null, rows: number, isDefinition: number])[] | undefined;
}

/** The outline as bytes: JSON. */
export function encodeOutline({ entries, times, xids, tables, actions }: Outline): Uint8Array {
  const stored: StoredOutline = {
    format: FORMAT,
    entries,
    times: times && [Number(times.first), Number(times.last)],
    xids: xids && [xids.lowest, xids.highest],
    tables: tables.map(({ database = null, name, deletes, deleted, updates, updated, most, files }) => [
      ...([database, name, deletes, deleted, updates, updated, most] as const),
      [...files],
    ]),
    actions: actions?.map((each) => [each.name ?? null, each.rows, each.isDefinition ? 1 : 0]),
  };
  return Buffer.from(JSON.stringify(stored));
}

/** `undefined` for one of a later format, which is as good as none. @throws {KeyframeError} CORRUPT */
export function decodeOutline(bytes: Uint8Array): Outline | undefined {
  const stored = parse(bytes);
  if (stored.format > FORMAT) return undefined;
  const { entries, times, xids, tables, actions } = stored;
  return {
    entries,
    times: times && { first: BigInt(times[0]), last: BigInt(times[1]) },
    xids: xids && { lowest: xids[0], highest: xids[1] },
    tables: tables.map(([database, name, deletes, deleted, updates, updated, most, files]) => ({
      name,
      deletes,
      deleted,
      updates,
      updated,
      most,
      database: database ?? undefined,
      files: new Set(files),
    })),
    actions: actions?.map(([name, rows, definition]) => ({
      name: name ?? undefined,
      rows,
      isDefinition: definition === 1,
    })),
  };
}

function parse(bytes: Uint8Array): StoredOutline {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8')) as StoredOutline;
  } catch (error) {
    throw new KeyframeError('CORRUPT', 'the outline of a WAL index is no JSON', {
      cause: error,
      hint: 'Run `keyframe verify` to see what else is damaged.',
    });
  }
}
