/** From nothing to an archiving server by the commands a user would type. */
import { spawnSync } from 'node:child_process';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Cluster, postgresMajors } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
/** The parts of the reports that are looked at. */
interface Document {
  readonly findings: readonly { readonly id: string; readonly status: string }[];
  readonly settings: readonly { readonly name: string; readonly value: string; readonly action: string }[];
}

describe.each(postgresMajors([18]))('setting up PostgreSQL %i', (major) => {
  let cluster: Cluster;
  let home = '';
  const keyframe = (args: readonly string[], environment: Readonly<Record<string, string>> = {}): Ran => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--conditions=@keyframe/source', MAIN, ...args], {
      cwd: home,
      env: { PATH: process.env['PATH'] ?? '', HOME: home, ...environment },
      encoding: 'utf8',
    });
    return { status, stdout, stderr };
  };
  const json = (args: readonly string[], environment: Readonly<Record<string, string>> = {}): Document => {
    const document: Document = JSON.parse(keyframe([...args, '--json'], environment).stdout);
    return document;
  };
  const findings = (): Record<string, string> =>
    Object.fromEntries(json(['doctor']).findings.map(({ id, status }) => [id, status]));
  const admin = { PGUSER: 'postgres' };

  beforeAll(async () => {
    cluster = await Cluster.create(major, { template: true, settings: { fsync: true } });
    home = path.join(cluster.directory, "it's 100% home");
    await mkdir(home);
    await cluster.start();
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  it('writes a valid config file for the server it finds, and never over another', async () => {
    const at = { PGHOST: cluster.socketDirectory, PGPORT: String(cluster.port), PGUSER: 'postgres' };
    const { status, stdout, stderr } = keyframe(['init', '--store-directory', 'store', '--cluster', 'orders'], at);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('written:');
    const text = await readFile(path.join(home, 'keyframe.yaml'), 'utf8');
    expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=./keyframe.schema.json');
    expect((await stat(path.join(home, 'keyframe.schema.json'))).size).toBeGreaterThan(1000);
    expect(json(['config', 'validate'])).toMatchObject({
      clusters: [
        {
          name: 'orders',
          url: `postgresql://keyframe@/postgres?host=${cluster.socketDirectory}&port=${cluster.port}`,
          dataDirectory: cluster.data,
        },
      ],
    });
    expect(keyframe(['init'], at).status).toBe(2);
    expect(await readFile(path.join(home, 'keyframe.yaml'), 'utf8')).toBe(text);
  });

  it('refuses a password on the command line, and a bad name, and leaves nothing behind', async () => {
    const url = 'postgresql://keyframe:hunter22@db/postgres';
    const refused = keyframe(['init', '--config', 'other.yaml', '--url', url]);
    expect(refused.status).toBe(2);
    expect(refused.stderr).not.toContain('hunter22');
    expect(keyframe(['init', '--config', 'other.yaml', '--cluster', 'No Name']).status).toBe(2);
    await expect(stat(path.join(home, 'other.yaml'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('writes a file without having seen a server', async () => {
    const dead = { PGHOST: home, PGPORT: '1' };
    const { status, stderr } = keyframe(['init', '--config', 'blind/keyframe.yaml'], dead);
    expect(status).toBe(0);
    expect(stderr).toContain('was not seen');
    expect(await readFile(path.join(home, 'blind/keyframe.yaml'), 'utf8')).toContain('without having seen');
  });

  it('tells by doctor what is missing, writing nothing into a store without a repository', async () => {
    const { status, stdout } = keyframe(['doctor']);
    expect(status).toBe(4);
    expect(stdout).toContain('keyframe setup');
    expect(findings()).toMatchObject({ connection: 'fail', store: 'skipped', repository: 'fail' });
    await expect(stat(path.join(home, 'store'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('prints what it would do, and does nothing', async () => {
    const { status, stdout } = keyframe(['setup'], admin);
    expect(status).toBe(0);
    expect(stdout).toContain('CREATE ROLE "keyframe" LOGIN REPLICATION');
    expect(stdout).toMatch(/^archive_command = '.*keyframe-archive-command/m);
    expect(await cluster.sql(`select count(*) from pg_roles where rolname = 'keyframe'`)).toBe('0');
    await expect(stat(path.join(home, 'store'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('does not replace an archive_command of something else, nor do half of the rest', async () => {
    await cluster.sql(`alter system set archive_command = 'cp %p /nowhere/%f'; select pg_reload_conf()`);
    const { status, stderr } = keyframe(['setup', '--apply'], admin);
    expect(status).toBe(2);
    expect(stderr).toContain('--force');
    expect(await cluster.sql(`select count(*) from pg_roles where rolname = 'keyframe'`)).toBe('0');
  });

  it('applies by force, and the doctor is content after a restart', async () => {
    const applied = keyframe(['setup', '--apply', '--force'], admin);
    expect(applied.stderr).toBe('');
    expect(applied.status).toBe(3);
    expect(applied.stdout).toContain('restart PostgreSQL for archive_mode');
    expect(findings()).toMatchObject({ connection: 'ok', replication: 'ok', role: 'ok', 'archive-mode': 'fail' });
    await cluster.restart();
    const planned = json(['setup']).settings;
    expect(planned.map(({ action }) => action)).toEqual(['keep', 'keep', 'keep', 'keep', 'keep']);
    const command = planned.find(({ name }) => name === 'archive_command')?.value;
    expect(await cluster.sql('show archive_command')).toBe(command);
    await cluster.sql('create table t (x int); select pg_switch_wal()');
    await expect
      .poll(() => cluster.sql('select archived_count > 0 and failed_count = 0 from pg_stat_archiver'), {
        timeout: 30_000,
      })
      .toBe('t');
    const found = findings();
    expect(Object.entries(found).filter(([, status]) => status === 'fail')).toEqual([]);
    expect(found).toMatchObject({
      'archive-mode': 'ok',
      'archive-command': 'ok',
      'archive-command-files': 'ok',
      'archive-timeout': 'ok',
      archiver: 'ok',
      'last-archived': 'ok',
      rights: 'ok',
      store: 'ok',
      repository: 'warn',
    });
    expect(keyframe(['doctor']).status).toBe(0);
    expect(keyframe(['setup', '--apply'], admin).status).toBe(0);
  });

  it('sees an archive_command for another cluster, and one whose files are gone', async () => {
    const command = await cluster.sql('show archive_command');
    const set = async (value: string): Promise<void> => {
      await cluster.sql(`alter system set archive_command = $k$${value}$k$; select pg_reload_conf()`);
      await expect.poll(() => cluster.sql('show archive_command')).toBe(value);
    };
    await set(command.replace('--cluster orders', '--cluster other'));
    expect(findings()['archive-command']).toBe('fail');
    await set(command.replace('/bin/keyframe-archive-command', '/gone/keyframe-archive-command'));
    expect(findings()).toMatchObject({ 'archive-command': 'ok', 'archive-command-files': 'fail' });
    await set(command);
    await writeFile(path.join(home, 'other.yaml'), await readFile(path.join(home, 'keyframe.yaml')));
    const other = json(['doctor', '--config', 'other.yaml']).findings;
    expect(other.find(({ id }) => id === 'archive-command')?.status).toBe('fail');
  });
});
