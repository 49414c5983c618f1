/**
 * The state of the catalogues as bytes, to go on from later.
 * @packageDocumentation
 */
import { KeyframeError } from '@keyframe/contracts';
import type { PostgresMajor } from '../page-header.ts';
import { CatalogueState, relationOf, type SeenFile } from './catalogue-state.ts';
import { DatabaseCatalogue } from './database-catalogue.ts';
import { HeapFile } from './heap-file.ts';
import type { HeapTuple } from './heap-tuple.ts';
import { type Outcome, Outcomes } from './outcomes.ts';

const FORMAT = 1;
const TUPLE_BYTES = 17;

interface StoredState {
  readonly format: number;
  readonly major: PostgresMajor;
  readonly shared: readonly (readonly [number, number])[];
  readonly databases: readonly (readonly [
    oid: number,
    tablespace: number,
    map: readonly (readonly [number, number])[],
  ])[];
  readonly outcomes: readonly (readonly [number, Outcome])[];
  readonly pending: readonly (readonly [
    xid: number,
    touched: readonly (readonly [key: string, oids: readonly number[]])[],
    rewritten: readonly number[],
  ])[];
  readonly seen: readonly (readonly [string, SeenFile])[];
  /** Pages follow behind this text in the order in which they stand here. */
  readonly files: readonly {
    readonly key: string;
    readonly unknown: readonly number[];
    readonly blocks: readonly (readonly [number: number, lsn: string, tuples: number])[];
  }[];
}

/** All of a state. Names are read from the pages again. */
export function encodeState(state: CatalogueState): Uint8Array {
  const pages: Uint8Array[] = [];
  const files = [...state.files].map(([key, file]) => ({
    key,
    unknown: [...file.unknown],
    blocks: [...file.blocks()].map(([number, { lsn, tuples }]) => {
      for (const [offset, tuple] of tuples) pages.push(encodeTuple(offset, tuple), tuple.body);
      return [number, lsn.toString(), tuples.size] as const;
    }),
  }));
  const stored: StoredState = {
    format: FORMAT,
    major: state.major,
    shared: [...state.shared.map],
    databases: [...state.databases.values()].map(({ oid, tablespace, map }) => [oid, tablespace, [...map]]),
    outcomes: [...state.outcomes.entries()],
    pending: [...state.pending].map(([xid, { touched, rewritten }]) => [
      xid,
      [...touched].map(([key, oids]) => [key, [...oids]] as const),
      [...rewritten],
    ]),
    seen: [...state.seen],
    files,
  };
  const text = Buffer.from(JSON.stringify(stored));
  const size = Buffer.alloc(4);
  size.writeUInt32LE(text.length);
  return Buffer.concat([size, text, ...pages]);
}

function encodeTuple(offset: number, tuple: HeapTuple): Uint8Array {
  const bytes = Buffer.alloc(TUPLE_BYTES);
  bytes.writeUInt16LE(offset, 0);
  bytes.writeUInt32LE(tuple.xmin, 2);
  bytes.writeUInt32LE(tuple.xmax, 6);
  bytes.writeUInt16LE(tuple.infomask2, 10);
  bytes.writeUInt16LE(tuple.infomask, 12);
  bytes.writeUInt8(tuple.headerBytes, 14);
  bytes.writeUInt16LE(tuple.body.length, 15);
  return bytes;
}

/** @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export function decodeState(bytes: Uint8Array): CatalogueState {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const stored = readHead(whole);
  const state = new CatalogueState(stored.major, new Outcomes(stored.outcomes));
  state.shared.map = new Map(stored.shared);
  for (const [oid, tablespace, map] of stored.databases)
    state.databases.set(oid, new DatabaseCatalogue(oid, tablespace, new Map(map)));
  let at = 4 + whole.readUInt32LE(0);
  for (const { key, unknown, blocks } of stored.files) {
    const file = new HeapFile();
    for (const [number, lsn, count] of blocks) {
      const tuples = new Map<number, HeapTuple>();
      for (let index = 0; index < count; index++) {
        const { offset, tuple, next } = decodeTuple(whole, at);
        tuples.set(offset, tuple);
        at = next;
      }
      file.replace(number, { lsn: BigInt(lsn), tuples });
    }
    for (const number of unknown) file.unknown.add(number);
    state.follow(relationOf(key), file);
  }
  for (const [xid, touched, rewritten] of stored.pending)
    state.pending.set(xid, {
      touched: new Map(touched.map(([key, oids]) => [key, new Set(oids)])),
      rewritten: new Set(rewritten),
    });
  readNamesFromPages(state);
  for (const [key, seen] of stored.seen) state.seen.set(key, seen);
  return state;
}

/** Fills in what the pages say. */
export function readNamesFromPages(state: CatalogueState): void {
  state.refreshShared();
  // Twice: the first time tells where pg_namespace is.
  for (const database of state.databases.values()) state.refresh(database);
  for (const database of state.databases.values()) state.refresh(database);
  state.seen.clear();
}

function readHead(bytes: Buffer): StoredState {
  const damaged = (cause?: unknown): KeyframeError =>
    new KeyframeError('CORRUPT', 'the state of the catalogues in a WAL index cannot be read', {
      cause,
      hint: 'Run `keyframe verify` to see what else is damaged.',
    });
  if (bytes.length < 4 || 4 + bytes.readUInt32LE(0) > bytes.length) throw damaged();
  let stored: StoredState;
  try {
    stored = JSON.parse(bytes.toString('utf8', 4, 4 + bytes.readUInt32LE(0))) as StoredState;
  } catch (error) {
    throw damaged(error);
  }
  if (stored.format <= FORMAT) return stored;
  throw new KeyframeError('REPOSITORY_FORMAT', `the catalogues of a WAL index have format ${stored.format}`, {
    hint: 'Update keyframe on this host; `keyframe version` shows which it is.',
  });
}

function decodeTuple(
  bytes: Buffer,
  at: number,
): { readonly offset: number; readonly tuple: HeapTuple; readonly next: number } {
  const start = at + TUPLE_BYTES;
  const next = start + bytes.readUInt16LE(at + 15);
  const tuple: HeapTuple = {
    xmin: bytes.readUInt32LE(at + 2),
    xmax: bytes.readUInt32LE(at + 6),
    infomask2: bytes.readUInt16LE(at + 10),
    infomask: bytes.readUInt16LE(at + 12),
    headerBytes: bytes.readUInt8(at + 14),
    body: new Uint8Array(bytes.subarray(start, next)),
  };
  return { offset: bytes.readUInt16LE(at), tuple, next };
}
