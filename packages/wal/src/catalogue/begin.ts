/**
 * Begins to follow the catalogues: reads their pages from the files of a base backup.
 * @packageDocumentation
 */
import type { CatalogueTracker } from '../lens/decoded-record.ts';
import type { PostgresMajor } from '../page-header.ts';
import { CatalogueState } from './catalogue-state.ts';
import { DatabaseCatalogue, GLOBAL_TABLESPACE } from './database-catalogue.ts';
import { type HeapFile, oidOf } from './heap-file.ts';
import { type HeapTuple, PAGE_BYTES, readHeapPage } from './heap-tuple.ts';
import { outcomeFile, outcomeIn, toldOutcomes, unsettledXids } from './outcomes.ts';
import { readRelationMap } from './relation-map.ts';
import { CATALOGUE } from './rows.ts';
import { decodeState, readNamesFromPages } from './state-codec.ts';
import { Tracker } from './tracker.ts';

/** The files of a base backup, by their paths in the data directory. */
export interface CatalogueFiles {
  /** Reads the files that are wanted, each whole. */
  read(isWanted: (path: string) => boolean): Promise<ReadonlyMap<string, Uint8Array>>;
}

const PG_DEFAULT = 1663;
const MAP = /^(?:global|base\/(\d+)|pg_tblspc\/(\d+)\/[^/]+\/(\d+))\/pg_filenode\.map$/;
/** A segment of a relation's main fork. */
const MAIN = /^(?:global|base\/(\d+)|pg_tblspc\/(\d+)\/[^/]+\/(\d+))\/(\d+)(?:\.(\d+))?$/;
const BLOCKS_PER_FILE = (1 << 30) / PAGE_BYTES;

/**
 * The tracker, standing at the start of that backup: feed it all WAL from its start LSN on.
 * @throws what `files` throws
 */
export async function beginCatalogue(major: PostgresMajor, files: CatalogueFiles): Promise<CatalogueTracker> {
  const state = new CatalogueState(major);
  for (const [path, bytes] of await files.read((each) => MAP.test(each))) addMap(state, path, bytes);
  followAll(state);
  await readFollowed(state, files);
  await readOutcomes(state, files);
  for (const database of state.databases.values()) state.refresh(database);
  // Where pg_namespace was written anew, its file has another number by now.
  if (followAll(state)) {
    await readFollowed(state, files);
    await readOutcomes(state, files);
  }
  readNamesFromPages(state);
  return new Tracker(state);
}

/**
 * Goes on from a snapshot of a tracker.
 * @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT
 */
export function resumeCatalogue(snapshot: Uint8Array): CatalogueTracker {
  return new Tracker(decodeState(snapshot));
}

function addMap(state: CatalogueState, path: string, bytes: Uint8Array): void {
  const map = readRelationMap(bytes);
  const [, base, tablespace, elsewhere] = MAP.exec(path) ?? [];
  if (map === undefined) return;
  const oid = Number(base ?? elsewhere ?? 0);
  if (oid === 0) state.shared.map = map;
  else state.databases.set(oid, new DatabaseCatalogue(oid, Number(tablespace ?? PG_DEFAULT), map));
}

/** Follows every catalogue where it is; true when one more is followed than before. */
function followAll(state: CatalogueState): boolean {
  const { generation } = state;
  for (const database of [state.shared, ...state.databases.values()])
    for (const catalogue of Object.values(CATALOGUE)) {
      const place = database.place(catalogue);
      if (place !== undefined && state.file(place) === undefined) state.follow(place);
    }
  return state.generation > generation;
}

async function readFollowed(state: CatalogueState, files: CatalogueFiles): Promise<void> {
  const target = (path: string): { readonly file: HeapFile; readonly firstBlock: number } | undefined => {
    const [, base, tablespace, elsewhere, relfilenode, segment] = MAIN.exec(path) ?? [];
    if (relfilenode === undefined) return undefined;
    const database = Number(base ?? elsewhere ?? 0);
    const space = database === 0 ? GLOBAL_TABLESPACE : Number(tablespace ?? PG_DEFAULT);
    const file = state.file({ tablespace: space, database, relfilenode: Number(relfilenode) });
    return file === undefined ? undefined : { file, firstBlock: Number(segment ?? 0) * BLOCKS_PER_FILE };
  };
  for (const [path, bytes] of await files.read((each) => target(each) !== undefined)) {
    const found = target(path);
    if (found === undefined) continue;
    for (let at = 0; at + PAGE_BYTES <= bytes.length; at += PAGE_BYTES) {
      const number = found.firstBlock + at / PAGE_BYTES;
      const block = readHeapPage(bytes.subarray(at, at + PAGE_BYTES));
      if (block === undefined) found.file.lose(number);
      else found.file.replace(number, block);
    }
  }
}

function* tuplesOf(state: CatalogueState): Generator<HeapTuple> {
  for (const file of state.files.values()) for (const [, { tuples }] of file.blocks()) yield* tuples.values();
}

/** How the transactions ended that rows leave open. */
async function readOutcomes(state: CatalogueState, files: CatalogueFiles): Promise<void> {
  const xids = new Set<number>();
  for (const tuple of tuplesOf(state)) {
    for (const xid of unsettledXids(tuple)) xids.add(xid);
    // An image of the page from before it was copied does not have these hints yet.
    for (const [xid, outcome] of toldOutcomes(tuple)) if (outcome !== undefined) state.outcomes.set(xid, outcome);
  }
  const paths = new Set([...xids].map(outcomeFile));
  const contents = await files.read((path) => paths.has(path));
  for (const xid of xids) {
    const bytes = contents.get(outcomeFile(xid));
    const outcome = bytes === undefined ? undefined : outcomeIn(bytes, xid);
    if (outcome !== undefined) state.outcomes.set(xid, outcome);
  }
  for (const [key, file] of state.files)
    for (const [, { tuples }] of file.blocks()) for (const tuple of tuples.values()) addPending(state, key, tuple);
}

/** What was under way when the backup began has written before the first record that will be read. */
function addPending(state: CatalogueState, key: string, tuple: HeapTuple): void {
  const oid = oidOf(tuple);
  if (oid === undefined) return;
  for (const xid of unsettledXids(tuple)) {
    if (state.outcomes.get(xid) !== undefined) continue;
    const { touched } = state.pendingOf(xid);
    touched.set(key, (touched.get(key) ?? new Set()).add(oid));
  }
}
