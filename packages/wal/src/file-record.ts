/**
 * WAL records about files as such: what makes a path of the data directory another file than it was.
 * @see src/include/catalog/storage_xlog.h, commands/dbcommands_xlog.h and utils/relmapper.h in PostgreSQL
 * @packageDocumentation
 */
import type { FileFact, RecordPlace, RelationId } from './facts.ts';
import type { PostgresMajor } from './page-header.ts';
import type { RecordBody } from './record.ts';

const RM_SMGR = 2;
const RM_DBASE = 4;
const RM_RELMAP = 7;

const SMGR = { create: 0x10, truncate: 0x20 } as const;
/** PostgreSQL 15 put the second way to create a database where 14 has the drop. */
const DBASE = { copy: 0x00, createOrDrop14: 0x10, drop: 0x20 } as const;
const RELMAP_UPDATE = 0x00;
/** Bit of xl_smgr_truncate's flags: the main fork is cut, not only its maps. */
const TRUNCATES_HEAP = 1;
const LARGEST_FORK = 3;

/** True for records of which {@link readFileFact} tells something. */
export function isFileRecord(resourceManager: number, info: number): boolean {
  if (resourceManager > RM_RELMAP) return false;
  const opcode = info & 0xf0;
  if (resourceManager === RM_SMGR) return opcode === SMGR.create || opcode === SMGR.truncate;
  if (resourceManager === RM_DBASE) return opcode <= DBASE.drop;
  return resourceManager === RM_RELMAP && opcode === RELMAP_UPDATE;
}

/** What the record tells, its main data beginning at `at`; `undefined` for one that cannot be read. */
export function readFileFact(
  record: RecordBody,
  at: number,
  place: RecordPlace,
  major: PostgresMajor,
): FileFact | undefined {
  const sizeBytes = record.end - at;
  if (record.resourceManager === RM_SMGR) return readStorage(record, at, place);
  if (record.resourceManager === RM_DBASE) return readDatabase(record, at, place, major);
  if (sizeBytes < 12) return undefined;
  const { view } = record;
  return {
    kind: 'relation-map',
    ...place,
    database: view.getUint32(at, true),
    tablespace: view.getUint32(at + 4, true),
  };
}

function readStorage({ view, info, end }: RecordBody, at: number, place: RecordPlace): FileFact | undefined {
  const relationAt = (from: number): RelationId => ({
    tablespace: view.getUint32(from, true),
    database: view.getUint32(from + 4, true),
    relfilenode: view.getUint32(from + 8, true),
  });
  if ((info & 0xf0) === SMGR.create) {
    if (end - at < 16) return undefined;
    const fork = view.getInt32(at + 12, true);
    return fork < 0 || fork > LARGEST_FORK
      ? undefined
      : { kind: 'relation-create', ...place, ...relationAt(at), isMain: fork === 0 };
  }
  if (end - at < 20) return undefined;
  return {
    kind: 'relation-truncate',
    ...place,
    ...relationAt(at + 4),
    blocks: view.getUint32(at, true),
    isMain: (view.getInt32(at + 16, true) & TRUNCATES_HEAP) !== 0,
  };
}

function readDatabase(
  { view, info, end }: RecordBody,
  at: number,
  place: RecordPlace,
  major: PostgresMajor,
): FileFact | undefined {
  const opcode = info & 0xf0;
  if (end - at < 8) return undefined;
  const database = view.getUint32(at, true);
  const drops = major === 14 ? opcode === DBASE.createOrDrop14 : opcode === DBASE.drop;
  if (!drops) return { kind: 'database-create', ...place, database, tablespaces: [view.getUint32(at + 4, true)] };
  const count = view.getInt32(at + 4, true);
  if (count < 0 || at + 8 + count * 4 > end) return undefined;
  const tablespaces = Array.from({ length: count }, (_, index) => view.getUint32(at + 8 + index * 4, true));
  return { kind: 'database-drop', ...place, database, tablespaces };
}
