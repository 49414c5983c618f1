import { needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { Site } from './support/site.ts';

describe.each(postgresMajors([14, 18]))('PostgreSQL %i without any activity', (major) => {
  test('is backed up again and again, each time with all the WAL it needs', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await Site.create(major, { settings: { autovacuum: 'off' } });
    const labels = [(await site.backup()).label, (await site.backup()).label];
    expect((await site.list()).backups.map(({ label }) => label)).toEqual(labels);
    const cluster = await site.recover(['--immediate', '--backup', labels[1] ?? '']);
    expect(await cluster.sql('select 1')).toBe('1');
  });

  test('whose archive_command fails has no backup, until it is repaired', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await Site.create(major, { settings: { archive_command: 'false' }, walTimeout: '3s' });
    const fault = await site.fault(['backup']);
    expect([fault.code, fault.status]).toEqual(['BACKUP_WAL_MISSING', 1]);
    expect(fault.message).toContain('archiver failed');
    expect(fault.hint).toContain('keyframe doctor');
    expect(await site.list()).toMatchObject({ backups: [], unfinished: [] });
    await site.useArchiveCommand();
    await site.writeConfig({ walTimeout: '90s' });
    const { label } = await site.backup();
    expect((await site.list()).backups.map((each) => each.label)).toEqual([label]);
  });
});
