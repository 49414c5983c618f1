import { copyFile, mkdir, open, readFile, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { needs } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, SELF } from './support/keyframe.ts';
import { Site } from './support/site.ts';

/** PostgreSQL keeps the file and tries again; above 125 its archiver would die, at 0 the file would be lost. */
const expectRefused = (status: number): void => {
  expect(status).toBeGreaterThanOrEqual(1);
  expect(status).toBeLessThanOrEqual(125);
};

/** Runs archive_command's wrapper as PostgreSQL does. */
const wrapper = async (args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<number> =>
  (await run([SELF.archiveWrapper, ...args], { environment }).ended).status;

describe('wal push', () => {
  let site: Site;
  let other: Site;
  /** A segment that is archived, as pg_wal has it. */
  let segment: string;
  const stack = new AsyncDisposableStack();

  beforeAll(async () => {
    site = stack.use(await Site.create(18));
    other = stack.use(await Site.create(18, { template: false, settings: { archive_command: 'true' } }));
    segment = join(site.origin.data, 'pg_wal', await site.archiveAll());
  });
  afterAll(() => stack.disposeAsync());

  const objectOf = (path: string): string => {
    const name = basename(path);
    return join(site.repository, 'clusters/main/1/wal', name.slice(0, 8), name.slice(8, 16), name);
  };

  /** A directory that looks like pg_wal of that site's cluster, for files that PostgreSQL never wrote. */
  const forgedWal = async (of: Site = site): Promise<string> => {
    const directory = await of.makeDirectory('forged');
    await mkdir(join(directory, 'pg_wal'));
    await mkdir(join(directory, 'global'));
    await copyFile(join(of.origin.data, 'global/pg_control'), join(directory, 'global/pg_control'));
    return join(directory, 'pg_wal');
  };

  test('succeeds again for a file that is in the archive with the same bytes', async (context) => {
    await needs(context, 'postgres-18');
    const before = await readFile(objectOf(segment));
    expect(await site.report(['wal', 'push', segment])).toMatchObject({ outcome: 'already-archived' });
    expect((await readFile(objectOf(segment))).equals(before)).toBe(true);
  });

  test('refuses other bytes under an archived name and leaves the object as it is', async () => {
    const before = await readFile(objectOf(segment));
    const forged = join(await forgedWal(), basename(segment));
    await copyFile(segment, forged);
    await using handle = await open(forged, 'r+');
    await handle.write(Buffer.from('other content'), 0, 13, 9000);
    const fault = await site.fault(['wal', 'push', forged]);
    expect(fault.code).toBe('WAL_MISMATCH');
    expect(fault.hint).toBeDefined();
    expectRefused(fault.status);
    expectRefused(await wrapper([SELF.node, SELF.main, '--config', site.config, '--', forged]));
    expect((await readFile(objectOf(segment))).equals(before)).toBe(true);
  });

  test('refuses WAL of another database cluster, whatever kind of file it is', async () => {
    const foreign = join(other.origin.data, 'pg_wal', await other.archiveAll());
    const directory = await forgedWal(other);
    const history = join(directory, '00000002.history');
    await writeFile(history, '1\t0/3000000\tno recovery target specified\n');
    const backup = join(directory, `${basename(foreign)}.00000028.backup`);
    await writeFile(backup, 'START WAL LOCATION: 0/2000028\n');
    const before = await site.objects();
    for (const path of [foreign, history, backup]) {
      const fault = await site.fault(['wal', 'push', path]);
      expect([basename(path), fault.code]).toEqual([basename(path), 'WRONG_CLUSTER']);
      expect(fault.hint).toBeDefined();
      expectRefused(fault.status);
    }
    expect(await site.objects()).toEqual(before);
  });

  test.each([
    ['a short segment', async (path: string) => truncate(path, 5_000_000)],
    ['an empty file', async (path: string) => truncate(path, 0)],
    ['a segment longer than its header says', async (path: string) => truncate(path, 32 << 20)],
    ['a segment without a header', async (path: string) => writeFile(path, Buffer.alloc(16 << 20))],
  ])('refuses %s', async (_, damage) => {
    const forged = join(await forgedWal(), '000000010000000000000063');
    await copyFile(segment, forged);
    await damage(forged);
    const fault = await site.fault(['wal', 'push', forged]);
    expect(fault.code).toBe('WAL_INVALID');
    expectRefused(fault.status);
  });

  test.each(['000000010000000000000064', 'RECOVERYXLOG', '00000001000000000000006', 'xlogtemp.123'])(
    'refuses a segment under the name %s, which is not its own',
    async (name) => {
      const forged = join(await forgedWal(), name);
      await copyFile(segment, forged);
      const fault = await site.fault(['wal', 'push', forged]);
      expect(fault.code).toBe('WAL_INVALID');
      expectRefused(fault.status);
    },
  );

  test('refuses a segment of a timeline whose history nobody has told', async () => {
    const forged = join(await forgedWal(), `00000007${basename(segment).slice(8)}`);
    await copyFile(segment, forged);
    const fault = await site.fault(['wal', 'push', forged]);
    expect(fault.code).toBe('WRONG_TIMELINE');
    expect(fault.hint).toContain('00000007.history');
    expectRefused(fault.status);
  });

  test('refuses a file that is not there', async () => {
    const fault = await site.fault(['wal', 'push', join(site.origin.data, 'pg_wal', '0000000100000000000000FF')]);
    expect(fault.code).toBe('NOT_FOUND');
    expectRefused(fault.status);
  });

  test('never creates a repository that is not there, as when its file system is not mounted', async () => {
    const empty = await site.makeDirectory('unmounted');
    const config = join(site.directory, 'unmounted.yaml');
    await writeFile(config, (await readFile(site.config, 'utf8')).replace(site.repository, empty));
    const fault = await site.fault(['wal', 'push', segment], { config });
    expect(fault.code).toBe('REPOSITORY_MISSING');
    expectRefused(fault.status);
  });

  test('refuses without a config file, or with one that is broken', async () => {
    const nowhere = await site.makeDirectory('nowhere');
    const broken = join(nowhere, 'keyframe.yaml');
    const fault = await site.fault(['wal', 'push', segment], { config: broken });
    expect(fault.code).toBe('CONFIG_NOT_FOUND');
    expectRefused(fault.status);
    await writeFile(broken, 'clusters: [unclosed');
    expectRefused(await wrapper([SELF.node, SELF.main, '--config', broken, '--', segment]));
  });

  test('turns every failure to start into a status that PostgreSQL retries', async () => {
    const rest = ['--config', site.config, '--', segment];
    expectRefused(await wrapper([]));
    expectRefused(await wrapper(['/nowhere/node', SELF.main, ...rest]));
    expectRefused(await wrapper([SELF.node, '/nowhere/main.ts', ...rest]));
    expectRefused(await wrapper([SELF.node, SELF.main, '--no-such-option', ...rest]));
    expectRefused(await wrapper([SELF.node, SELF.main, ...rest, 'too', 'much']));
    expectRefused(await wrapper([SELF.node, SELF.main, ...rest], { NODE_OPTIONS: '--bogus' }));
    const empty = join(await site.makeDirectory('install'), 'main.ts');
    await writeFile(empty, '');
    expectRefused(await wrapper([SELF.node, empty, ...rest]));
    expect(await wrapper([SELF.node, SELF.main, ...rest])).toBe(0);
  });
});
