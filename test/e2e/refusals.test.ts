import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { needs } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Fault } from './support/keyframe.ts';
import type { BackupFacts } from './support/reports.ts';
import { Site } from './support/site.ts';

/** Every refusal has its code, the status that goes with it, and names what to do. */
const refused = (code: string, status = 1): Partial<Record<keyof Fault, unknown>> => ({
  code,
  status,
  hint: expect.stringMatching(/`|--|[a-z]_[a-z]|[Cc]onfig|source/),
});

describe('refusals', () => {
  const stack = new AsyncDisposableStack();
  let site: Site;
  let backup: BackupFacts;
  let withoutBackup: Fault;
  let xid: string;
  let subtransaction: string;

  beforeAll(async () => {
    site = stack.use(await Site.create(18, { walSegmentSizeMiB: 1 }));
    withoutBackup = await site.fault(['restore', '--latest', '--to', site.freshPath()]);
    backup = await site.backup();
    await site.origin.sql("create table t (n int); select pg_create_restore_point('before_migration')");
    [xid = '', subtransaction = ''] = (
      await site.origin.sql(
        'begin; insert into t values (1); select pg_current_xact_id()::xid; savepoint s; insert into t values (2);' +
          'select max(xmin::text::bigint) from t; commit',
      )
    ).split('\n');
    await site.archiveAll();
  });
  afterAll(() => stack.disposeAsync());

  /** A refused restore has not even made its directory. */
  const refusedRestore = async (args: readonly string[]): Promise<Fault> => {
    const to = site.freshPath('refused');
    const fault = await site.fault(['restore', ...args, '--to', to]);
    await expect(readdir(to)).rejects.toThrow('ENOENT');
    return fault;
  };

  test('without any base backup say so', () => {
    expect(withoutBackup).toMatchObject(refused('NO_BACKUP'));
  });

  test('of a moment before the first base backup name the earliest one', async (context) => {
    await needs(context, 'postgres-18');
    const fault = await refusedRestore(['--time', '2020-01-01 00:00:00+00']);
    expect(fault).toMatchObject(refused('TARGET_BEFORE_BACKUP'));
    expect(fault.hint).toContain(backup.stopLsn);
    expect(await refusedRestore(['--lsn', '0/100'])).toMatchObject(refused('TARGET_BEFORE_BACKUP'));
  });

  test('of a moment after the archived WAL name its last commit', async () => {
    const fault = await refusedRestore(['--time', '2090-01-01 00:00:00+00']);
    expect(fault).toMatchObject(refused('TARGET_UNREACHABLE'));
    expect(fault.details['lastCommitXid']).toBe(Number(xid));
    expect(await refusedRestore(['--lsn', 'FF/0'])).toMatchObject(refused('TARGET_UNREACHABLE'));
  });

  test('of an unknown transaction or restore point say what there is', async () => {
    expect(await refusedRestore(['--xid', '3999999999'])).toMatchObject(refused('TARGET_NOT_FOUND'));
    const fault = await refusedRestore(['--name', 'before_migrations']);
    expect(fault).toMatchObject(refused('TARGET_NOT_FOUND'));
    expect(fault.hint).toContain('before_migration');
  });

  test('of a subtransaction name the transaction it is part of', async () => {
    expect(Number(subtransaction)).toBeGreaterThan(Number(xid));
    const fault = await refusedRestore(['--before-xid', subtransaction]);
    expect(fault).toMatchObject(refused('TARGET_NOT_FOUND'));
    expect(fault.hint).toContain(xid);
  });

  test('of a time without an offset show both readings', async () => {
    const fault = await site.fault(['plan', '--time', '2026-07-01 12:00:00'], { environment: { TZ: 'Asia/Tokyo' } });
    expect(fault).toMatchObject(refused('TARGET_AMBIGUOUS', 2));
    expect(`${fault.message} ${fault.hint}`).toMatch(/\+09/);
    expect(`${fault.message} ${fault.hint}`).toMatch(/\+00|UTC|Z\b/);
  });

  test('of a timeline that the archive does not know name those it knows', async () => {
    expect(await refusedRestore(['--latest', '--timeline', '9'])).toMatchObject(refused('WRONG_TIMELINE'));
  });

  test('of words that mean nothing leave everything alone', async () => {
    expect(await refusedRestore([])).toMatchObject(refused('INVALID_OPTION', 2));
    expect(await refusedRestore(['--latest', '--immediate'])).toMatchObject(refused('INVALID_OPTION', 2));
    expect(await refusedRestore(['--latest', '--backup', 'nothing'])).toMatchObject(refused('BACKUP_NOT_FOUND'));
    expect(await site.fault(['show', 'nothing'])).toMatchObject(refused('BACKUP_NOT_FOUND'));
    expect(await site.fault(['list', '--cluster', 'nobody'])).toMatchObject(refused('INVALID_OPTION', 2));
    expect(await site.fault(['--no-such-option'])).toMatchObject(refused('INVALID_OPTION', 2));
  });

  test('of a directory that holds something leave it as it was', async () => {
    const holding = await site.makeDirectory('holding');
    await writeFile(join(holding, 'letter'), 'to keep');
    for (const force of [[], ['--force']]) {
      expect(await site.fault(['restore', '--latest', '--to', holding, ...force])).toMatchObject(
        refused('TARGET_DIRECTORY'),
      );
      expect(await readdir(holding)).toEqual(['letter']);
    }
    const data = site.origin.data;
    const fault = await site.fault(['restore', '--latest', '--to', data, '--force']);
    expect(fault).toMatchObject(refused('TARGET_DIRECTORY'));
    expect(await site.origin.sql('select count(*) from t')).toBe('2');
  });

  test('of a cluster that is another one than the repository knows', async () => {
    await using other = await Site.create(18, { template: false, settings: { archive_command: 'true' } });
    const config = join(site.directory, 'other.yaml');
    await site.writeConfig({}, other.origin.url, config);
    const before = await site.objects('clusters');
    expect(await site.fault(['backup'], { config })).toMatchObject(refused('WRONG_CLUSTER'));
    expect(await site.objects('clusters')).toEqual(before);
  });

  test('of a server that cannot give a backup say why', async () => {
    const config = join(site.directory, 'elsewhere.yaml');
    const backupFrom = async (url: string): Promise<Fault> => {
      await site.writeConfig({}, url, config);
      return site.fault(['backup'], { config });
    };
    expect(await backupFrom('postgresql://postgres@127.0.0.1:1/postgres')).toMatchObject(refused('SERVER_UNREACHABLE'));
    expect(await backupFrom(site.origin.url.replace('postgres@', 'nobody@'))).toMatchObject(refused('SERVER_REFUSED'));
    await site.origin.sql('create role reader login');
    expect(await backupFrom(site.origin.url.replace('postgres@', 'reader@'))).toMatchObject(refused('SERVER_REFUSED'));
    await using silent = await Site.create(18, { settings: { archive_mode: 'off' } });
    const fault = await silent.fault(['backup']);
    expect(fault).toMatchObject(refused('SERVER_UNSUPPORTED'));
    expect(fault.message).toContain('archive_mode');
    expect((await silent.list()).backups).toEqual([]);
  });

  test('of a gap in the archive name the segment, and only what lies behind it is out of reach', async () => {
    await site.origin.sql('insert into t values (3)');
    const segment = await site.archiveAll();
    const until = await site.origin.sql('select pg_current_wal_lsn()');
    await site.origin.sql('insert into t values (4)');
    await site.archiveAll();
    const key = (await site.objects('clusters/main/1/wal')).find((each) => each.endsWith(segment)) ?? '';
    await mkdir(join(site.directory, 'aside'));
    await rename(join(site.repository, key), join(site.directory, 'aside', segment));
    for (const target of [['--latest'], ['--lsn', until]]) {
      const fault = await refusedRestore(target);
      expect(fault).toMatchObject(refused('WAL_GAP'));
      expect(fault.message).toContain(segment);
    }
    const { status, stdout } = await site.keyframe(['wal', 'status']);
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ brokenBy: [{ backup: backup.label, gap: segment }] });
    expect(await site.report(['plan', '--xid', xid])).toMatchObject({ lastKept: { xid: Number(xid) } });
    await rename(join(site.directory, 'aside', segment), join(site.repository, key));
    expect(await site.report(['plan', '--latest'])).toMatchObject({ backup: { label: backup.label } });
  });
});
