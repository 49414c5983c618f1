import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, freePort, needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { reportOf, spawnKeyframe } from './support/keyframe.ts';
import type { BackupFacts, ListReport, PlanFacts, RestoreFacts } from './support/reports.ts';
import { eventually, stopServer } from './support/servers.ts';

describe.each(postgresMajors([14, 18]))('PostgreSQL %i', (major) => {
  test('goes from a server as initdb left it to a recovered moment by the lines of the README', async (context) => {
    await needs(context, `postgres-${major}`);
    await using stack = new AsyncDisposableStack();
    const directory = await mkdtemp(join(tmpdir(), 'kf-first-'));
    stack.defer(() => rm(directory, { recursive: true, force: true }));
    const settings = { fsync: 'on', log_connections: 'on', timezone: 'America/New_York', shared_buffers: '32MB' };
    const cluster = stack.use(await Cluster.create(major, { settings }));
    await cluster.start();
    const keyframe = async <Report>(args: readonly string[], status = 0): Promise<Report> => {
      const ended = await spawnKeyframe(['--json', ...args], { cwd: directory }).ended;
      expect([ended.status, args, status === 0 ? '' : ended.stderr]).toEqual([status, args, '']);
      return reportOf({ ...ended, status: 0 }, args.join(' ')) as Report;
    };

    await keyframe(['init', '--url', cluster.url, '--store-directory', join(directory, 'store')]);
    const { settings: planned } = await keyframe<{ settings: { name: string; action: string }[] }>(['setup']);
    expect(planned.filter(({ action }) => action === 'set').map(({ name }) => name)).toContain('archive_mode');
    expect(await cluster.sql('show archive_command')).toBe('(disabled)');
    // Applied, and archive_mode waits for the restart.
    await keyframe(['setup', '--apply', '--admin', 'postgres'], 3);
    await cluster.restart();
    const { verdict, findings } = await keyframe<DoctorFacts>(['doctor']);
    expect(findings.filter(({ status }) => status === 'fail')).toEqual([]);
    expect(verdict).not.toBe('fail');

    await cluster.sql('create table kept as select 1 as n');
    const taken = await keyframe<BackupFacts>(['backup']);
    expect((await keyframe<ListReport>(['list'])).backups.map(({ label }) => label)).toEqual([taken.label]);
    await expectLeastPrivilege(cluster);

    await cluster.sql('insert into kept values (2)');
    await sleep(20);
    const moment = await cluster.sql('select clock_timestamp()');
    await sleep(20);
    await cluster.sql('delete from kept');
    await cluster.sql('select pg_switch_wal()');
    const plan = await eventually(() => keyframe<PlanFacts>(['plan', '--time', moment]));
    expect(plan.backup.label).toBe(taken.label);
    const to = join(directory, 'restored');
    const port = await freePort();
    const start = ['--start', '--port', String(port), '--bin-dir', cluster.bin];
    const { server } = await keyframe<RestoreFacts>(['restore', '--time', moment, '--to', to, ...start]);
    if (server === undefined) throw new Error('no server was started');
    stack.defer(() => stopServer(server.pid));
    expect(server.state).toBe('recovered');
    const psql = ['-XAtq', '-h', cluster.socketDirectory, '-p', String(port), '-c', 'select n from kept order by n'];
    expect(await cluster.psql(psql)).toBe('1\n2\n');
  });
});

interface DoctorFacts {
  readonly verdict: string;
  readonly findings: readonly { readonly id: string; readonly status: string; readonly what: string }[];
}

/** The backup came as the role that setup made, which may do no more than it must. */
async function expectLeastPrivilege(cluster: Cluster): Promise<void> {
  const attributes =
    "rolsuper, rolreplication, rolcreaterole, rolcreatedb, rolbypassrls from pg_roles where rolname = 'keyframe'";
  expect(await cluster.sql(`select ${attributes}`)).toBe('f|t|f|f|f');
  expect(await cluster.log()).toMatch(/replication connection authorized: user=keyframe/);
  expect(await cluster.log()).not.toMatch(/replication connection authorized: user=postgres/);
}
