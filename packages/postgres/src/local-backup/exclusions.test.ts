import { describe, expect, it } from 'vitest';
import { excludedNames, isEmptied, walDirectories } from './exclusions.ts';

const left = (directory: string, names: readonly string[], major = 18): readonly string[] => {
  const excluded = excludedNames(directory, names, major);
  return names.filter((name) => !excluded.has(name));
};

describe('a base backup leaves out', () => {
  it('files of the running server, wherever they lie', () => {
    const running = ['postmaster.pid', 'postmaster.opts', 'backup_label', 'tablespace_map', 'backup_manifest'];
    const temporary = ['postgresql.auto.conf.tmp', 'current_logfiles.tmp', 'pg_internal.init', 'pg_internal.init.4711'];
    for (const directory of ['.', 'base/5', 'log'])
      expect(left(directory, [...running, ...temporary, 'pgsql_tmp', 'pgsql_tmp12.3', 'PG_VERSION'])).toEqual([
        'PG_VERSION',
      ]);
  });

  it('all forks of unlogged relations but the init fork, and no logged neighbour', () => {
    const names = ['100', '100.1', '100_fsm', '100_vm', '100_vm.1', '100_init', '1001', '1001_fsm', '10', 'PG_VERSION'];
    const kept = ['100_init', '1001', '1001_fsm', '10', 'PG_VERSION'];
    expect(left('base/5', names)).toEqual(kept);
    expect(left('pg_tblspc/16400/PG_18_202506291/5', names)).toEqual(kept);
    expect(left('pg_xact', names)).toEqual(names);
  });

  it('temporary relations', () => {
    const names = ['t3_16384', 't3_16384_fsm', 't12_16384_vm.1', 't3_16384.1', 't3', 'tx_1', 't3_1_x'];
    expect(left('base/5', names)).toEqual(['t3', 'tx_1', 't3_1_x']);
  });

  it('those of shared relations too from 17 on', () => {
    expect(left('global', ['t3_1', '1', '1_init'], 17)).toEqual(['1_init']);
    expect(left('global', ['t3_1', '1', '1_init'], 16)).toEqual(['t3_1', '1', '1_init']);
  });

  it('the content of directories that the server fills when it starts', () => {
    expect(['pg_replslot', 'pg_notify', 'pg_xact', 'pg_stat'].filter(isEmptied)).toEqual(['pg_replslot', 'pg_notify']);
    expect([walDirectories(16), walDirectories(17)]).toEqual([['archive_status'], ['archive_status', 'summaries']]);
  });
});
