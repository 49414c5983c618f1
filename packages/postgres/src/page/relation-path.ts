/**
 * Names of relation files.
 * @see src/common/relpath.c and src/backend/storage/file/reinit.c in PostgreSQL
 * @packageDocumentation
 */

/** Which part of a relation a file holds. */
export type RelationFork = 'main' | 'fsm' | 'vm' | 'init';

/** A file of a relation. */
export interface RelationFile {
  /** Oid of the tablespace; 1663 is pg_default, 1664 pg_global. */
  readonly tablespace: number;
  /** Oid of the database; 0 for relations shared by all. */
  readonly database: number;
  readonly relfilenode: number;
  readonly fork: RelationFork;
  /** Number of the file within its fork; each but the last has the same number of blocks (`relationSegmentBlocks`). */
  readonly segment: number;
}

const DEFAULT_TABLESPACE = 1663;
const GLOBAL_TABLESPACE = 1664;
const OID = '[1-9][0-9]{0,9}';
const DATABASE = `(?:global|base/(?<base>${OID})|pg_tblspc/(?<space>${OID})/PG_[0-9]+_[0-9]+/(?<database>${OID}))`;
const FILE = `(?<node>${OID})(?:_(?<fork>fsm|vm|init))?(?:\\.(?<segment>${OID}))?`;
const RELATION = new RegExp(`^${DATABASE}/${FILE}$`);
const LARGEST_OID = 0xff_ff_ff_ff;

/** What a path of the data directory says about the relation it belongs to; `undefined` for any other file. */
export function parseRelationPath(path: string): RelationFile | undefined {
  const groups = RELATION.exec(path)?.groups;
  if (groups === undefined) return undefined;
  const { base, space, database, node, fork, segment } = groups;
  const numbers = [space, database ?? base, node, segment].map((text) => (text === undefined ? 0 : Number(text)));
  if (numbers.some((number) => number > LARGEST_OID)) return undefined;
  const [tablespace = 0, databaseOid = 0, relfilenode = 0, segmentNumber = 0] = numbers;
  const builtIn = base === undefined ? GLOBAL_TABLESPACE : DEFAULT_TABLESPACE;
  return {
    tablespace: tablespace === 0 ? builtIn : tablespace,
    database: databaseOid,
    relfilenode,
    fork: isFork(fork) ? fork : 'main',
    segment: segmentNumber,
  };
}

function isFork(text: string | undefined): text is RelationFork {
  return text === 'fsm' || text === 'vm' || text === 'init';
}
