import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { formatLsn, type Lsn, lsn, parseLsn, parseWalFileName } from '@keyframe/contracts';
import { Cluster } from '@keyframe/testkit/postgres';
import { describe, expect, it } from 'vitest';
import { readByScanner, readByWaldump, segmentsOf } from './waldump.ts';

const SIZE = 1 << 20;

/** A backup, a promotion in the middle of a segment, and the archive of both timelines. */
async function forkedArchive(primary: Cluster, archive: string): Promise<{ fork: Lsn; backupStart: string }> {
  await primary.start();
  await primary.sql('create table t (id serial, note text)');
  const copy = path.join(primary.directory, 'copy');
  await primary.exec('pg_basebackup', ['-D', copy, '-X', 'none', '-c', 'fast']);
  const label = await readFile(path.join(copy, 'backup_label'), 'utf8');
  const backupStart = /START WAL LOCATION: (\S+)/.exec(label)?.[1] ?? '';
  await primary.sql(`insert into t (note) select repeat('x', 200) from generate_series(1, 15000)`);
  await primary.sql(`select pg_create_restore_point('fork')`);
  await primary.sql(
    `insert into t (note) select repeat('y', 200) from generate_series(1, 20000); select pg_switch_wal()`,
  );
  await primary.stop();

  await writeFile(path.join(copy, 'recovery.signal'), '');
  const settings = [
    `restore_command = 'cp ${archive}/%f %p'`,
    `recovery_target_name = 'fork'`,
    `recovery_target_action = pause`,
  ];
  await appendFile(path.join(copy, 'postgresql.auto.conf'), settings.map((line) => `${line}\n`).join(''));
  await using restored = await Cluster.attach(copy);
  await restored.start();
  // Only a promotion of a paused server writes an end-of-recovery record; the other way is a shutdown checkpoint.
  await restored.sql(
    `do $$ begin while pg_get_wal_replay_pause_state() <> 'paused' loop perform pg_sleep(0.05); end loop; end $$`,
  );
  await restored.sql('select pg_promote()');
  await restored.waitPromoted();
  await restored.sql(
    `insert into t (note) select repeat('z', 200) from generate_series(1, 15000); select pg_switch_wal()`,
  );
  await restored.stop();
  const history = await readFile(path.join(archive, '00000002.history'), 'utf8');
  return { fork: parseLsn(history.split('\t')[1] ?? ''), backupStart };
}

describe('the scanner on two timelines', () => {
  it('goes from the parent to the child and names the promotion', async () => {
    await using primary = await Cluster.create(17, {
      walSegmentSizeMiB: 1,
      template: true,
      settings: { archive_mode: true, archive_command: '' },
    });
    const archive = path.join(primary.directory, 'archive');
    await mkdir(archive, { mode: 0o777 });
    await appendFile(
      path.join(primary.data, 'postgresql.conf'),
      `archive_command = 'test ! -f ${archive}/%f && cp %p ${archive}/%f'\n`,
    );
    const { fork, backupStart } = await forkedArchive(primary, archive);

    const all = await segmentsOf(archive, SIZE);
    const last = all.findLast(({ name }) => parseWalFileName(name)?.timeline === 2);
    const segments = all.filter(({ start }) => last !== undefined && start <= last.start);
    const [first] = segments;
    if (first === undefined || last === undefined) throw new Error('no WAL');
    const end = lsn(last.start + BigInt(SIZE));

    const mine = readByScanner(segments, { segmentSizeBytes: SIZE, end });
    const parent = await readByWaldump(primary, { directory: archive, start: first.start, end: fork });
    const child = await readByWaldump(primary, { directory: archive, start: fork, end, timeline: 2 });
    expect(mine.ended).toBeUndefined();
    expect(mine.records).toEqual([...parent.records, ...child.records]);
    const facts = [...parent.facts, ...child.facts];
    expect(mine.facts).toEqual(facts);
    expect(facts).toContain(`${formatLsn(fork)} end-of-recovery 2 1`);
    expect(facts.filter((line) => line.includes(' backup-end '))).toEqual([
      expect.stringContaining(`backup-end ${backupStart}`),
    ]);
  });
});
