import { readFile, writeFile } from 'node:fs/promises';
import { needs } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import { type Fault, faultOf } from './support/keyframe.ts';
import { archiveCommand, Site } from './support/site.ts';

test('a backup is not published when archive_command lies, dies or is unset, and says which; repaired, the next one is', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { settings: { archive_command: 'true' }, walTimeout: '1h' });
  const { origin } = site;
  const useCommand = async (command: string): Promise<void> => {
    await origin.sql(`alter system set archive_command = '${command}'`);
    await origin.sql('select pg_reload_conf()');
  };
  const refused = async (): Promise<Fault> => {
    const fault = await site.fault(['backup']);
    expect([fault.code, fault.status]).toEqual(['BACKUP_WAL_MISSING', 1]);
    expect(fault.hint).toContain('keyframe doctor');
    expect(fault.details['missing']).toMatch(/^[0-9A-F]{24}( [0-9A-F]{24})*$/);
    expect(await site.list()).toMatchObject({ backups: [], unfinished: [] });
    return fault;
  };

  // It reports success for WAL that it delivers nowhere.
  const started = performance.now();
  const lost = (await refused()).message;
  expect(performance.now() - started).toBeLessThan(60_000);
  const missing = /segment ([0-9A-F]{24}) archived/.exec(lost)?.[1] ?? 'none';
  expect(lost).toContain("archive_command is not Keyframe's: true");
  expect((await origin.sql('select last_archived_wal from pg_stat_archiver')).slice(0, 24) >= missing).toBe(true);

  // It archives, as another cluster of the same file.
  const config = await readFile(site.config, 'utf8');
  const other = config.replace(/^ {2}main:.*?(?=^repositories)/ms, (main) => `${main}${main.replace('main', 'other')}`);
  await writeFile(site.config, other);
  await useCommand(archiveCommand(site.config, ['--cluster', 'other']).replaceAll("'", "''"));
  const misled = await site.keyframe(['backup', '--cluster', 'main']);
  expect(misled.stderr).toContain('archives for cluster other, not main');
  expect(faultOf(misled, 'backup').message).toContain('archives for cluster other, not main');

  // What may come is waited for, and what keeps it is told at once.
  await site.writeConfig({ walTimeout: '4s' });
  await useCommand('false');
  const failing = await site.keyframe(['backup']);
  expect(failing.stderr).toContain('WAL does not reach the repository: its archiver failed last on');
  expect(faultOf(failing, 'backup').code).toBe('BACKUP_WAL_MISSING');
  await origin.sql("select pg_stat_reset_shared('archiver')");

  // Above 125 the archiver itself dies, and PostgreSQL counts no failure.
  await useCommand('/nowhere/keyframe-archive-command %p');
  expect((await refused()).message).toContain('wait in pg_wal');
  await useCommand('');
  expect((await refused()).message).toContain('wait in pg_wal');
  expect(await origin.sql('select failed_count from pg_stat_archiver')).toBe('0');

  await site.useArchiveCommand();
  await site.writeConfig({ walTimeout: '90s' });
  const { label } = await site.backup();
  expect((await site.list()).backups.map((each) => each.label)).toEqual([label]);
});
