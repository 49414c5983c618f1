import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { KeyframeError } from '@keyframe/contracts';

/** An object is listed once its row in `objects` is there; its bytes were there before. */
const SCHEMA = `
  create table if not exists objects (
    key text primary key, body text not null unique, size integer not null, modified integer not null
  ) without rowid, strict;
  create table if not exists chunks (
    body text not null, at integer not null, bytes blob not null, primary key (body, at)
  ) without rowid, strict;`;

/** Several processes work on one file: each waits so long for its turn. */
const BUSY_MS = 30_000;

/** Opens the file; the caller closes. What was committed is on the disk: WAL mode with full synchronisation. */
export function openDatabase(file: string): DatabaseSync {
  return translated(file, () => {
    mkdirSync(path.dirname(file), { recursive: true });
    const database = new DatabaseSync(file, { timeout: BUSY_MS });
    database.exec('pragma journal_mode = wal; pragma synchronous = full;');
    database.exec(SCHEMA);
    return database;
  });
}

/** All or nothing. The lock is taken at once, so that nobody writes between a look and what follows from it. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('begin immediate');
  try {
    const result = work();
    database.exec('commit');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('rollback');
    throw error;
  }
}

/** SQLite's primary result codes that may pass by themselves. */
const PASSING = new Set([5 /* busy */, 6 /* locked */, 10 /* I/O */, 13 /* full */]);
const DENIED = new Set([3 /* perm */, 8 /* readonly */, 14 /* cannot open */]);
const DAMAGED = new Set([11 /* corrupt */, 26 /* not a database */]);

/** Faults of SQLite in the words of the contract; all others pass as they are. */
export function translated<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const status = cause instanceof Error && 'errcode' in cause ? Number(cause.errcode) & 0xff : undefined;
    if (status === undefined) throw cause;
    const code = PASSING.has(status)
      ? 'UNAVAILABLE'
      : DENIED.has(status)
        ? 'ACCESS_DENIED'
        : DAMAGED.has(status)
          ? 'CORRUPT'
          : undefined;
    if (code === undefined) throw cause;
    throw new KeyframeError(code, `${what}: SQLite says ${(cause as Error).message}`, { cause });
  }
}
