/**
 * What kinds of record are called, as `pg_waldump` prints them.
 * @see src/include/access/rmgrlist.h and src/backend/access/rmgrdesc in PostgreSQL
 * @packageDocumentation
 */
import type { PostgresMajor } from '../page-header.ts';

const words = (text: string): readonly string[] => text.split(' ').map((word) => (word === '-' ? '' : word));

/** By resource manager, then by the upper half of `xl_info`. */
const MANAGERS: readonly (readonly [name: string, operations: readonly string[]])[] = [
  [
    'XLOG',
    words(
      'CHECKPOINT_SHUTDOWN CHECKPOINT_ONLINE NOOP NEXTOID SWITCH BACKUP_END PARAMETER_CHANGE RESTORE_POINT FPW_CHANGE ' +
        'END_OF_RECOVERY FPI_FOR_HINT FPI - OVERWRITE_CONTRECORD CHECKPOINT_REDO',
    ),
  ],
  ['Transaction', words('COMMIT PREPARE ABORT COMMIT_PREPARED ABORT_PREPARED ASSIGNMENT INVALIDATION')],
  ['Storage', words('- CREATE TRUNCATE')],
  ['CLOG', words('ZEROPAGE TRUNCATE')],
  ['Database', words('CREATE_FILE_COPY CREATE_WAL_LOG DROP')],
  ['Tablespace', words('CREATE DROP')],
  ['MultiXact', words('ZERO_OFF_PAGE ZERO_MEM_PAGE CREATE_ID TRUNCATE_ID')],
  ['RelMap', words('UPDATE')],
  ['Standby', words('LOCK RUNNING_XACTS INVALIDATIONS')],
  [
    'Heap2',
    words('REWRITE PRUNE_ON_ACCESS PRUNE_VACUUM_SCAN PRUNE_VACUUM_CLEANUP VISIBLE MULTI_INSERT LOCK_UPDATED NEW_CID'),
  ],
  ['Heap', words('INSERT DELETE UPDATE TRUNCATE HOT_UPDATE HEAP_CONFIRM LOCK INPLACE')],
  [
    'Btree',
    words(
      'INSERT_LEAF INSERT_UPPER INSERT_META SPLIT_L SPLIT_R INSERT_POST DEDUP DELETE UNLINK_PAGE UNLINK_PAGE_META NEWROOT ' +
        'MARK_PAGE_HALFDEAD VACUUM REUSE_PAGE META_CLEANUP',
    ),
  ],
  [
    'Hash',
    words(
      'INIT_META_PAGE INIT_BITMAP_PAGE INSERT ADD_OVFL_PAGE SPLIT_ALLOCATE_PAGE SPLIT_PAGE SPLIT_COMPLETE ' +
        'MOVE_PAGE_CONTENTS SQUEEZE_PAGE DELETE SPLIT_CLEANUP UPDATE_META_PAGE VACUUM_ONE_PAGE',
    ),
  ],
  [
    'Gin',
    words(
      '- CREATE_PTREE INSERT SPLIT VACUUM_PAGE DELETE_PAGE UPDATE_META_PAGE INSERT_LISTPAGE DELETE_LISTPAGE ' +
        'VACUUM_DATA_LEAF_PAGE',
    ),
  ],
  ['Gist', words('PAGE_UPDATE DELETE PAGE_REUSE PAGE_SPLIT - - PAGE_DELETE ASSIGN_LSN')],
  ['Sequence', words('LOG')],
  ['SPGist', words('- ADD_LEAF MOVE_LEAFS ADD_NODE SPLIT_TUPLE PICKSPLIT VACUUM_LEAF VACUUM_ROOT VACUUM_REDIRECT')],
  ['BRIN', words('CREATE_INDEX INSERT UPDATE SAMEPAGE_UPDATE REVMAP_EXTEND DESUMMARIZE')],
  ['CommitTs', words('ZEROPAGE TRUNCATE')],
  ['ReplicationOrigin', words('SET DROP')],
  ['Generic', words('Generic')],
  ['LogicalMessage', words('MESSAGE')],
];

const RM = { transaction: 1, database: 4, heap2: 9, heap: 10, brin: 17, generic: 20 } as const;
/** Where the top bit of the info says that the page is set up anew, or is no part of the operation. */
const HAS_TOP_BIT: ReadonlySet<number> = new Set([RM.transaction, RM.heap2, RM.heap, RM.brin]);
const OLD_HEAP2 = words('- PRUNE VACUUM FREEZE_PAGE');

/** A resource manager's name; those of extensions are `custom` and their number. */
export function resourceManagerName(id: number): string {
  return MANAGERS[id]?.[0] ?? `custom${String(id).padStart(3, '0')}`;
}

/** The name of a kind of record; `undefined` for one that the major does not know. */
export function recordName(resourceManager: number, info: number, major: PostgresMajor): string | undefined {
  const hasTopBit = HAS_TOP_BIT.has(resourceManager);
  const operation = (info >> 4) & (hasTopBit ? 7 : 15);
  const name = resourceManager === RM.generic ? 'Generic' : operationName(resourceManager, operation, major);
  if (name === undefined || name === '') return undefined;
  const isAnew = hasTopBit && (info & 0x80) !== 0 && resourceManager !== RM.transaction;
  return isAnew ? `${name}+INIT` : name;
}

function operationName(resourceManager: number, operation: number, major: PostgresMajor): string | undefined {
  if (resourceManager === RM.database && major === 14) return ['CREATE', 'DROP'][operation];
  if (resourceManager === RM.heap2 && major < 17) {
    const old = OLD_HEAP2[operation];
    if (old !== undefined && old !== '') return old;
  }
  return MANAGERS[resourceManager]?.[1][operation];
}
