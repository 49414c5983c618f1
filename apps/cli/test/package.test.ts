/** The packed tarball, installed with npm in an empty folder, is all a user needs. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { quoteForCommandSetting } from '@keyframe/postgres';
import { Cluster, postgresMajors } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const HOME = fileURLToPath(new URL('..', import.meta.url));
const ROOT = path.resolve(HOME, '../..');

describe.each(postgresMajors([18]))('the package, with PostgreSQL %i', (major) => {
  let cluster: Cluster;
  let folder = '';
  let installed = '';
  const keyframe = (...args: readonly string[]): { status: number | null; stdout: string; stderr: string } => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [path.join(installed, 'dist/main.mjs'), ...args], {
      cwd: folder,
      env: { PATH: process.env['PATH'] ?? '', HOME: folder },
      encoding: 'utf8',
    });
    return { status, stdout, stderr };
  };

  beforeAll(async () => {
    cluster = await Cluster.create(major, {
      template: true,
      settings: { archive_mode: 'on', wal_level: 'replica' },
    });
    folder = path.join(cluster.directory, 'empty folder');
    await mkdir(folder);
    const { packageManager } = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')) as {
      readonly packageManager: string;
    };
    execFileSync(path.join(ROOT, 'node_modules/.bin/tsdown'), { cwd: HOME, stdio: 'pipe' });
    execFileSync('npx', ['--yes', packageManager, 'pack', '--pack-destination', folder], { cwd: HOME, stdio: 'pipe' });
    const [tarball = ''] = await readdir(folder);
    await writeFile(path.join(folder, 'package.json'), '{ "name": "empty", "private": true }\n');
    const options = ['--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
    execFileSync('npm', ['install', ...options, `./${tarball}`], { cwd: folder, stdio: 'pipe' });
    installed = path.join(folder, 'node_modules/@keyframe/cli');
    const config = path.join(folder, 'keyframe.yaml');
    await writeFile(
      config,
      `clusters: { main: { source: { url: "${cluster.url}" } } }
repositories: { vault: { stores: [ { use: fs, directory: "${folder}/store" } ] } }
`,
    );
    await cluster.start({
      settings: {
        archive_command: quoteForCommandSetting([
          path.join(installed, 'bin/keyframe-archive-command'),
          process.execPath,
          path.join(installed, 'dist/main.mjs'),
          '--config',
          config,
          '--',
          '%p',
        ]),
      },
    });
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  it('brings nothing along but itself', async () => {
    // LZ4 is native code: npm brings what is made for this platform.
    const brought = await readdir(path.join(folder, 'node_modules'));
    expect(brought.filter((name) => !/lz4-napi|^@antoniomuso$/.test(name))).toEqual([
      '.bin',
      '.package-lock.json',
      '@keyframe',
    ]);
    expect(await readdir(path.join(folder, 'node_modules/@keyframe'))).toEqual(['cli']);
    for (const name of ['keyframe-archive-command', 'keyframe-restore-command'])
      expect((await stat(path.join(installed, 'bin', name))).mode & 0o111).toBe(0o111);
    expect(await readFile(path.join(installed, 'dist/THIRD-PARTY-LICENSES.txt'), 'utf8')).toContain('commander');
    // Found by its name when a delta restore has much to hash; without it that would only be slower.
    expect((await stat(path.join(installed, 'dist/hash-thread.mjs'))).isFile()).toBe(true);
    expect(keyframe('--version').stdout).toMatch(/^keyframe \d/);
    expect(keyframe('config', 'schema').stdout).toContain('"directory"');
  });

  it('backs up, archives and restores', async () => {
    expect(keyframe('repository', 'create')).toMatchObject({ status: 0 });
    // Over SQL: the driver is bundled too.
    const { findings } = JSON.parse(keyframe('doctor', '--json').stdout) as {
      readonly findings: readonly { readonly id: string; readonly status: string }[];
    };
    expect(findings).toContainEqual(expect.objectContaining({ id: 'connection', status: 'ok' }));
    await cluster.sql('create table t as select 1 as id');
    expect(keyframe('backup')).toMatchObject({ status: 0 });
    await cluster.sql('insert into t values (2)');
    const before = await cluster.sql('select pg_current_wal_lsn()');
    await cluster.sql('select pg_switch_wal()');
    await cluster.sql('insert into t values (3)');
    await cluster.sql('select pg_switch_wal()');
    await archived(cluster);
    const target = path.join(folder, 'restored');
    const restored = keyframe('restore', '--lsn', before, '--to', target, '--json');
    expect({ status: restored.status, said: restored.status === 0 ? '' : restored.stdout + restored.stderr }).toEqual({
      status: 0,
      said: '',
    });
    await using copy = await Cluster.attach(target);
    await copy.start();
    await copy.waitPromoted();
    expect(await copy.sql('select string_agg(id::text, $$ $$ order by id) from t')).toBe('1 2');
  });
});

/** Waits until the archiver has nothing left to do. */
async function archived(cluster: Cluster): Promise<void> {
  const waiting = "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'";
  for (const deadline = performance.now() + 60_000; (await cluster.sql(waiting)) !== '0';) {
    if (performance.now() > deadline) throw new Error(`WAL is not archived:\n${await cluster.log()}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}
