import { describe, expect, it } from 'vitest';
import { parseRelationPath } from './relation-path.ts';

describe('parseRelationPath', () => {
  it.each([
    ['base/5/16384', [1663, 5, 16_384, 'main', 0]],
    ['base/16385/2619.12', [1663, 16_385, 2619, 'main', 12]],
    ['base/5/16384_fsm', [1663, 5, 16_384, 'fsm', 0]],
    ['base/5/16384_vm.1', [1663, 5, 16_384, 'vm', 1]],
    ['base/5/16384_init', [1663, 5, 16_384, 'init', 0]],
    ['global/1262', [1664, 0, 1262, 'main', 0]],
    ['global/1262_fsm', [1664, 0, 1262, 'fsm', 0]],
    ['pg_tblspc/16400/PG_18_202506291/5/16401.3', [16_400, 5, 16_401, 'main', 3]],
    ['base/4294967295/4294967295', [1663, 4_294_967_295, 4_294_967_295, 'main', 0]],
  ])('reads %s', (path, [tablespace, database, relfilenode, fork, segment]) => {
    expect(parseRelationPath(path)).toEqual({ tablespace, database, relfilenode, fork, segment });
  });

  it.each([
    'base/5/t3_16384',
    'base/5/PG_VERSION',
    'base/5/pg_filenode.map',
    'base/5/pg_internal.init',
    'global/pg_control',
    'base/5/16384_xyz',
    'base/5/16384.',
    'base/5/016384',
    'base/5/16384.0',
    'base/5/4294967296',
    'base/16384',
    'global/5/16384',
    'pg_xact/0000',
    'pg_tblspc/16400/PG_18_202506291/pgsql_tmp/5',
    'x/base/5/16384',
    'base/5/16384\n',
  ])('knows that %s is none', (path) => {
    expect(parseRelationPath(path)).toBeUndefined();
  });
});
