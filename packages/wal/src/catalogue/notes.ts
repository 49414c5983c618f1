/**
 * What is kept with the index of a segment: names as they were then, and what transactions did to definitions.
 * @packageDocumentation
 */
import { formatLsn, KeyframeError, type Lsn, parseLsn } from '@keyframe/contracts';
import type { RelationId } from '../facts.ts';

/** A relation with the name it had when the segment ended, or when it went. */
export interface NamedRelation {
  readonly relation: RelationId;
  readonly oid: number;
  /** Names; `undefined` where the catalogues did not tell. */
  readonly database: string | undefined;
  readonly schema: string | undefined;
  readonly name: string;
  /** As in pg_class. */
  readonly kind: string;
  readonly persistence: string;
  /** The planner's estimate of its rows; -1 unknown. */
  readonly rows: number;
  /** For a TOAST table the table that it belongs to. */
  readonly owner?: { readonly schema: string | undefined; readonly name: string } | undefined;
  /** What it was called before transactions of this segment renamed it, the oldest name first. */
  readonly earlier?:
    | readonly { readonly until: Lsn; readonly schema: string | undefined; readonly name: string }[]
    | undefined;
}

/** What was done to a definition. */
export type ActionVerb =
  | 'create'
  | 'drop'
  | 'alter'
  | 'rename'
  | 'truncate'
  | 'rewrite'
  | 'reindex'
  | 'refresh'
  | 'analyze';

/** One thing that a transaction did beside writing rows. */
export interface Action {
  readonly verb: ActionVerb;
  /** As SQL calls it: `TABLE`, `INDEX`, `SCHEMA`, … */
  readonly object: string;
  /** With its schema; absent where no name is known. */
  readonly name?: string | undefined;
  readonly database?: string | undefined;
  /** The new name. */
  readonly to?: string | undefined;
  /** Estimate of the rows that went with it; absent unless some did. */
  readonly rows?: number | undefined;
  /** Follows from another action of the same transaction, as the index of a dropped table does. */
  readonly minor?: true | undefined;
}

/** What one transaction did to definitions. */
export interface TransactionNotes {
  readonly xid: number;
  /** The record that ended it. */
  readonly lsn: Lsn;
  readonly actions: readonly Action[];
  /** Files in its database that hold what was in another one before: rows in them are none of this transaction. */
  readonly rewritten?: readonly number[] | undefined;
}

/** What is kept with the index of one segment. */
export interface SegmentNotes {
  readonly relations: readonly NamedRelation[];
  readonly transactions: readonly TransactionNotes[];
}

const FORMAT = 1;

type StoredRelation = readonly [
  tablespace: number,
  database: number,
  relfilenode: number,
  oid: number,
  databaseName: string | null,
  schema: string | null,
  name: string,
  kind: string,
  rows: number,
  ownerSchema?: string | null,
  ownerName?: string | null,
  earlier?: readonly (readonly [until: string, schema: string | null, name: string])[],
];

interface StoredNotes {
  readonly format: number;
  readonly relations: readonly StoredRelation[];
  readonly transactions: readonly (readonly [
    xid: number,
    lsn: string,
    actions: readonly Action[],
    rewritten?: readonly number[],
  ])[];
}

/** The notes as bytes: JSON. */
export function encodeNotes({ relations, transactions }: SegmentNotes): Uint8Array {
  const stored: StoredNotes = {
    format: FORMAT,
    relations: relations.map(encodeRelation),
    transactions: transactions.map(({ xid, lsn, actions, rewritten }) =>
      rewritten === undefined ? [xid, formatLsn(lsn), actions] : [xid, formatLsn(lsn), actions, rewritten],
    ),
  };
  return Buffer.from(JSON.stringify(stored));
}

function encodeRelation(each: NamedRelation): StoredRelation {
  const { tablespace, database, relfilenode } = each.relation;
  const { oid, name, rows, owner } = each;
  const names = [each.database ?? null, each.schema ?? null] as const;
  const head = [tablespace, database, relfilenode, oid, ...names, name, each.kind + each.persistence, rows] as const;
  if (owner === undefined && each.earlier === undefined) return head;
  const earlier = (each.earlier ?? []).map(
    ({ until, schema, name: was }) => [formatLsn(until), schema ?? null, was] as const,
  );
  return [...head, owner?.schema ?? null, owner?.name ?? null, earlier];
}

/** @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export function decodeNotes(bytes: Uint8Array): SegmentNotes {
  const stored = parse(bytes);
  if (stored.format > FORMAT)
    throw new KeyframeError('REPOSITORY_FORMAT', `the names of a WAL index have format ${stored.format}`, {
      hint: 'Update keyframe on this host; `keyframe version` shows which it is.',
    });
  return {
    relations: stored.relations.map(decodeRelation),
    transactions: stored.transactions.map(([xid, lsn, actions, rewritten]) => ({
      xid,
      lsn: parseLsn(lsn),
      actions,
      rewritten,
    })),
  };
}

function decodeRelation(stored: StoredRelation): NamedRelation {
  const [
    tablespace,
    database,
    relfilenode,
    oid,
    databaseName,
    schema,
    name,
    letters,
    rows,
    ownerSchema,
    owner,
    earlier,
  ] = stored;
  return {
    relation: { tablespace, database, relfilenode },
    oid,
    database: databaseName ?? undefined,
    schema: schema ?? undefined,
    name,
    kind: letters.slice(0, 1),
    persistence: letters.slice(1),
    rows,
    owner: owner === undefined || owner === null ? undefined : { schema: ownerSchema ?? undefined, name: owner },
    earlier: earlier?.map(([until, was, named]) => ({ until: parseLsn(until), schema: was ?? undefined, name: named })),
  };
}

function parse(bytes: Uint8Array): StoredNotes {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8')) as StoredNotes;
  } catch (error) {
    throw new KeyframeError('CORRUPT', 'the names of a WAL index are no JSON', {
      cause: error,
      hint: 'Run `keyframe verify` to see what else is damaged.',
    });
  }
}
