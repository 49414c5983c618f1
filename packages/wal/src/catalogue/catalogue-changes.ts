import type { Lsn } from '@keyframe/contracts';
import type { ClassRow } from './rows.ts';
import type { InvalidatedRelation } from '../lens/transaction-record.ts';

/** A relation whose definition is said to have changed, as it was called then: it may be gone when the segment ends. */
export interface ChangedRelation extends InvalidatedRelation {
  readonly row: ClassRow | undefined;
  readonly schema: string | undefined;
}

/** A relation that came, went, or is another now. */
export interface ClassChange {
  readonly database: number;
  readonly oid: number;
  readonly before: ClassRow | undefined;
  readonly after: ClassRow | undefined;
  /** Schema, as it was called when the change was made. */
  readonly schema: string | undefined;
  /** Schema of `before`. */
  readonly schemaBefore: string | undefined;
  /** All of it was written into another file (VACUUM FULL, CLUSTER, some ALTER TABLE, REFRESH). */
  readonly isRewritten: boolean;
}

/** A schema, database or tablespace that came, went, or is called otherwise. */
export interface NameChange {
  readonly kind: 'schema' | 'database' | 'tablespace';
  /** The database that a schema is in. */
  readonly database: number;
  readonly oid: number;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** What a transaction changed in the catalogues that are followed. */
export interface CatalogueTransaction {
  readonly xid: number;
  readonly lsn: Lsn;
  readonly database: number;
  readonly classes: readonly ClassChange[];
  readonly names: readonly NameChange[];
  /** Relations whose definition changed anywhere in the catalogues. */
  readonly invalidated: readonly ChangedRelation[];
}
