import { randomUUID } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import {
  assertObjectKey,
  assertPlainPut,
  type ByteSource,
  type ByteStream,
  type GetOptions,
  type Host,
  KeyframeError,
  type ObjectInfo,
  type PutOptions,
  type Store,
} from '@keyframe/contracts';
import { abortable, openExact } from '@keyframe/contracts/streams';
import { openDatabase, transaction, translated } from './database.ts';

export interface SqliteOptions {
  /** Absolute path of the database, made when missing. */
  readonly file: string;
}

interface Row {
  readonly key: string;
  readonly body: string;
  readonly size: number;
  readonly modified: number;
}

const CHUNK_BYTES = 1 << 20;
const PAGE_KEYS = 500;

const infoOf = ({ key, body, size, modified }: Row): ObjectInfo => ({
  key,
  sizeBytes: size,
  modifiedAt: new Date(modified),
  version: body,
});

/** Objects in one file. Opened by the first operation. */
export function createSqliteStore({ file }: SqliteOptions, host: Host): Store {
  let opened: DatabaseSync | undefined;
  const database = (): DatabaseSync => (opened ??= openDatabase(file));
  return {
    capabilities: { conditionalPut: true, conditionalReplace: true, rangeRead: true, strongConsistency: true },
    location: { provider: 'file', container: file },
    async put(key, source, how = {}) {
      assertObjectKey(key);
      assertPlainPut(how);
      how.signal?.throwIfAborted();
      const body = randomUUID();
      try {
        const size = await writeChunks(database(), body, source, how.signal);
        return translated(key, () => publish(database(), { key, body, size, modified: host.now().getTime() }, how));
      } catch (error) {
        translated(key, () => database().prepare('delete from chunks where body = ?').run(body));
        throw error;
      }
    },
    async get(key, how = {}) {
      assertObjectKey(key);
      how.signal?.throwIfAborted();
      // A reader has a connection of its own, and in it one moment of the file: what is replaced or removed meanwhile stays.
      const reader = openDatabase(file);
      try {
        reader.exec('begin');
        const row = translated(key, () => rowOf(reader, key));
        if (row === undefined) throw new KeyframeError('NOT_FOUND', `object '${key}' not found`, { details: { key } });
        return abortable(read(reader, row, how), how.signal);
      } catch (error) {
        reader.close();
        throw error;
      }
    },
    async stat(key, { signal } = {}) {
      assertObjectKey(key);
      signal?.throwIfAborted();
      const row = translated(key, () => rowOf(database(), key));
      return row && infoOf(row);
    },
    async *list(prefix, { signal } = {}) {
      const folder = prefix.lastIndexOf('/');
      if (folder >= 0) assertObjectKey(prefix.slice(0, folder));
      // By pages, each from where the last one ended, so that nothing is held open while the caller works.
      for (let after = ''; ;) {
        signal?.throwIfAborted();
        const page = translated(prefix, () => pageOf(database(), prefix, after));
        for (const row of page) {
          signal?.throwIfAborted();
          yield infoOf(row);
        }
        const last = page.at(-1);
        if (last === undefined || page.length < PAGE_KEYS) return;
        after = last.key;
      }
    },
    async delete(keys, { signal } = {}) {
      keys.forEach(assertObjectKey);
      signal?.throwIfAborted();
      translated(keys[0] ?? '', () =>
        transaction(database(), () => {
          for (const key of keys) remove(database(), key);
        }),
      );
    },
    async close() {
      opened?.close();
      opened = undefined;
    },
  };
}

/** Bytes of no object yet. They are small transactions of their own: others write in between. */
async function writeChunks(
  database: DatabaseSync,
  body: string,
  source: ByteSource,
  signal: AbortSignal | undefined,
): Promise<number> {
  const insert = database.prepare('insert into chunks (body, at, bytes) values (?, ?, ?)');
  let at = 0;
  let held: Buffer[] = [];
  let heldBytes = 0;
  const flush = (): void => {
    if (heldBytes === 0) return;
    translated(body, () => insert.run(body, at, Buffer.concat(held)));
    at += heldBytes;
    held = [];
    heldBytes = 0;
  };
  for await (const chunk of abortable(openExact(source), signal)) {
    held.push(Buffer.from(chunk));
    heldBytes += chunk.length;
    if (heldBytes >= CHUNK_BYTES) flush();
  }
  flush();
  return at;
}

/** The moment at which the object is there. */
function publish(database: DatabaseSync, row: Row, { ifAbsent, ifMatch }: PutOptions): ObjectInfo {
  return transaction(database, () => {
    const { key, body, size, modified } = row;
    const present = rowOf(database, key);
    if (ifAbsent === true && present !== undefined)
      throw new KeyframeError('ALREADY_EXISTS', `object '${key}' already exists`, { details: { key } });
    if (ifMatch !== undefined && present?.body !== ifMatch)
      throw new KeyframeError('CONFLICT', `object '${key}' has another version`, { details: { key } });
    remove(database, key);
    database
      .prepare('insert into objects (key, body, size, modified) values (?, ?, ?, ?)')
      .run(key, body, size, modified);
    return infoOf(row);
  });
}

function remove(database: DatabaseSync, key: string): void {
  database.prepare('delete from chunks where body = (select body from objects where key = ?)').run(key);
  database.prepare('delete from objects where key = ?').run(key);
}

function rowOf(database: DatabaseSync, key: string): Row | undefined {
  return database.prepare('select key, body, size, modified from objects where key = ?').get(key) as Row | undefined;
}

function pageOf(database: DatabaseSync, prefix: string, after: string): Row[] {
  const page = `select key, body, size, modified from objects
    where key > ? and key >= ? and key < ? || char(1114111) order by key limit ${PAGE_KEYS}`;
  return database.prepare(page).all(after, prefix, prefix) as unknown as Row[];
}

async function* read(reader: DatabaseSync, { body, size }: Row, { range }: GetOptions): ByteStream {
  try {
    const start = range?.start ?? 0;
    const end = Math.min(range?.end ?? size, size);
    // The chunk that `start` lies in, and those behind it.
    const chunks = reader
      .prepare('select at, bytes from chunks where body = ? and at + length(bytes) > ? and at < ? order by at')
      .iterate(body, start, end) as unknown as Iterable<{ readonly at: number; readonly bytes: Uint8Array }>;
    for (const { at, bytes } of chunks) yield bytes.subarray(Math.max(start - at, 0), Math.max(end - at, 0));
  } finally {
    reader.close();
  }
}
