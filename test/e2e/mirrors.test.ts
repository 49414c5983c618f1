import { globSync } from 'node:fs';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { needs } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { damaged, flip } from './support/damage.ts';
import { Site } from './support/site.ts';

interface StoreFacts {
  readonly name: string;
  readonly health: string;
  readonly missingObjects: number;
  readonly journalled: number;
}

interface StatusFacts {
  readonly status: { readonly writable: boolean; readonly stores: readonly StoreFacts[] };
}

const NAMES = ['a', 'b', 'c'] as const;

describe('a repository on three stores', () => {
  const stack = new AsyncDisposableStack();
  let site: Site;

  const place = (name: string): string => join(site.directory, `store-${name}`);

  /** A config file that names these stores only. */
  const configFor = async (names: readonly string[], more: readonly string[] = []): Promise<string> => {
    const file = join(site.directory, `only-${names.join('')}.yaml`);
    const stores = names.map((name) => `      - { use: fs, name: ${name}, directory: ${place(name)} }`);
    const text = [
      `state: ${join(site.directory, 'state')}`,
      'clusters:',
      '  main:',
      `    source: { url: ${JSON.stringify(site.origin.url)} }`,
      '    repository: vault',
      '    walTimeout: 2min',
      'repositories:',
      '  vault:',
      '    stores:',
      ...stores,
      ...more,
      ...['attic', 'usb'].map((name) => `  ${name}: { stores: [{ use: fs, directory: ${place(name)} }] }`),
    ];
    await writeFile(file, `${text.join('\n')}\n`);
    return file;
  };

  const status = async (): Promise<{ readonly exit: number } & StatusFacts> => {
    const ended = await site.keyframe(['repository', 'status']);
    return { exit: ended.status, ...(JSON.parse(ended.stdout) as StatusFacts) };
  };

  /** Takes a store away, as an unmounted file system does: an empty directory stays. */
  const unmount = async (name: string): Promise<AsyncDisposable> => {
    await rename(place(name), `${place(name)}-away`);
    await mkdir(place(name));
    return {
      async [Symbol.asyncDispose]() {
        await rm(place(name), { recursive: true });
        await rename(`${place(name)}-away`, place(name));
      },
    };
  };

  const rowsIn = async (args: readonly string[]): Promise<string> => {
    const cluster = await site.recover(args);
    const rows = await cluster.sql('select count(*) from t');
    await cluster.stop();
    return rows;
  };

  beforeAll(async () => {
    site = stack.use(await Site.create(18, { start: false, walSegmentSizeMiB: 1 }));
    await rename(await configFor(NAMES), site.config);
    await site.report(['repository', 'create']);
    await site.origin.start();
    await site.origin.sql('create table t as select i, md5(i::text) from generate_series(1, 1000) i');
    await site.backup();
    await site.archiveAll();
  });
  afterAll(() => stack.disposeAsync());

  test('has everything in each store, and doctor looks at each', async (context) => {
    await needs(context, 'postgres-18');
    const { exit, status: found } = await status();
    expect(found.stores.map(({ name, health }) => [name, health])).toEqual(NAMES.map((name) => [name, 'ok']));
    expect(exit).toBe(0);
    const doctor = JSON.parse((await site.keyframe(['doctor'])).stdout) as {
      findings: { id: string; status: string }[];
    };
    const seen = doctor.findings.filter(({ id }) => id.startsWith('store ') || id === 'quorum');
    expect(seen.map(({ id, status: how }) => `${id}: ${how}`)).toEqual([
      'store a: ok',
      'store b: ok',
      'store c: ok',
      'quorum: ok',
    ]);
  });

  test('goes on archiving and backing up while one is not mounted, never writes to its empty place, and brings it up', async () => {
    {
      await using _ = await unmount('c');
      await site.origin.sql('insert into t select i from generate_series(1001, 2000) i');
      await site.backup();
      await site.archiveAll();
      const during = await status();
      expect(during.exit).toBe(3);
      expect(during.status.writable).toBe(true);
      expect(during.status.stores[2]).toMatchObject({ health: 'empty' });
      expect(during.status.stores[2]?.journalled).toBeGreaterThan(3);
      await expect(readFile(join(place('c'), 'keyframe.json'))).rejects.toThrow('ENOENT');
    }
    expect((await status()).status.stores[2]).toMatchObject({ health: 'behind' });
    expect(await site.report(['repository', 'sync'])).toMatchObject({ conflicts: [], faults: [], outside: [] });
    expect((await status()).exit).toBe(0);
  });

  test('stops a plan while a store cannot be reached, until it is told to go on without it', async () => {
    await using _ = await unmount('b');
    const fault = await site.fault(['plan', '--latest']);
    expect(fault.code).toBe('UNAVAILABLE');
    expect(fault.hint).toContain('--without-store');
    const plan = await site.report<{ mayBeMissing: string[] }>(['plan', '--latest', '--without-store', 'b']);
    expect(plan.mayBeMissing[0]).toContain('also put on a, c');
    const both = ['--without-store', 'b', '--without-store', 'c'];
    const alone = await site.report<{ mayBeMissing: string[] }>(['plan', '--latest', ...both]);
    expect(alone.mayBeMissing[0]).toContain('may lie on them alone');
    expect((await site.fault(['plan', '--latest', '--without-store', 'nope'])).code).toBe('INVALID_OPTION');
    expect(await rowsIn(['--latest', '--without-store', 'b'])).toBe('2000');
  });

  test('recovery stops rather than ending early when a store goes away under it', async () => {
    const { directory } = await site.restore(['--latest']);
    const cluster = await site.attach(directory);
    await using _ = await unmount('a');
    await expect(cluster.start()).rejects.toThrow(/./u);
    expect(await cluster.log()).not.toContain('archive recovery complete');
  });

  test.each(NAMES)('is restored from store %s alone', async (name) => {
    const others = NAMES.filter((each) => each !== name);
    await using stackOfStores = new AsyncDisposableStack();
    for (const other of others) stackOfStores.use(await unmount(other));
    const without = others.flatMap((other) => ['--without-store', other]);
    expect(await rowsIn(['--latest', ...without])).toBe('2000');
  });

  test('reads around a damaged pack and a lost segment, and mends both', async () => {
    const packs = globSync('clusters/main/1/backups/*/pack-*', { cwd: place('a') });
    const segment = (await import('node:fs'))
      .globSync('clusters/main/1/wal/*/*/*', { cwd: place('a') })
      .toSorted()
      .at(-1);
    const lost = join(place('a'), segment ?? '');
    const before = await readFile(lost);
    await rm(lost);
    for (const pack of packs) await damaged(join(place('a'), pack), flip(5_000, 1));
    expect(packs.length).toBeGreaterThan(0);
    const verified = await site.keyframe(['verify', '--deep', '--store', 'a']);
    expect(verified.status).toBe(4);
    expect(JSON.parse(verified.stdout).remarks.at(-1).hint).toContain('repository sync --verify');
    expect(await rowsIn(['--latest'])).toBe(await site.origin.sql('select count(*) from t'));
    expect(await site.report(['repository', 'sync', '--verify'])).toMatchObject({ faults: [], conflicts: [] });
    expect((await readFile(lost)).equals(before)).toBe(true);
    const mended = await Promise.all(
      packs.map(async (pack) =>
        (await readFile(join(place('a'), pack))).equals(await readFile(join(place('b'), pack))),
      ),
    );
    expect(mended).not.toContain(false);
    expect((await status()).exit).toBe(0);
  });

  test('a backup killed while a store is away leaves nothing that a sync does not settle', async () => {
    {
      await using _ = await unmount('c');
      for (const delay of [300, 900]) {
        const running = site.spawn(['backup']);
        await sleep(delay);
        running.child.kill('SIGKILL');
        await running.ended;
      }
      await site.backup();
    }
    expect(await site.report(['repository', 'sync'])).toMatchObject({ conflicts: [], faults: [] });
    expect((await status()).exit).toBe(0);
  });

  test('a store that is denied stops nothing', async (context) => {
    if (process.getuid?.() === 0) context.skip('root may read everything');
    await chmod(place('b'), 0o000);
    try {
      await site.origin.sql('insert into t values (0)');
      await site.archiveAll();
      expect((await status()).status.stores[1]).toMatchObject({ health: 'unreachable' });
    } finally {
      await chmod(place('b'), 0o750);
    }
    await site.report(['repository', 'sync']);
    expect((await status()).exit).toBe(0);
  });

  test('two different segments of one name on two stores are kept and told', async () => {
    const segments = globSync('clusters/main/1/wal/*/*/*', { cwd: place('a') }).toSorted();
    const [first = '', second = ''] = segments;
    const original = await readFile(join(place('c'), second));
    await rm(join(place('c'), second));
    await writeFile(join(place('c'), second), await readFile(join(place('c'), first)));
    const found = await site.keyframe(['repository', 'sync']);
    expect(found.status).toBe(3);
    expect(JSON.parse(found.stdout)).toMatchObject({ conflicts: [second] });
    expect(found.stderr).toContain('wal.conflict');
    expect((await status()).status.stores[2]).toMatchObject({ health: 'conflict' });
    await rm(join(place('c'), second));
    await writeFile(join(place('c'), second), original);
    expect((await status()).exit).toBe(0);
  });

  test('is copied whole, through a kill, and restored from the copy alone', async () => {
    const killed = site.spawn(['copy', 'vault', 'attic']);
    await sleep(600);
    killed.child.kill('SIGKILL');
    await killed.ended;
    expect(await site.report(['copy', 'vault', 'attic'])).toMatchObject({ mode: 'as-is', repaired: 0 });
    expect(await site.report(['copy', 'vault', 'attic'])).toMatchObject({ copied: 0 });
    // What was read at the source proves nothing of the copy, though it has the same id and the same objects.
    await site.report(['verify', '--deep']);
    const [pack = ''] = globSync('clusters/main/1/backups/*/pack-*', { cwd: place('attic') });
    {
      await using _ = await damaged(join(place('attic'), pack), flip(5_000, 1));
      expect((await site.keyframe(['verify', '--deep', '--repository', 'attic'])).status).toBe(4);
    }
    const rows = await site.origin.sql('select count(*) from t');
    await using hidden = new AsyncDisposableStack();
    for (const name of NAMES) hidden.use(await unmount(name));
    expect(await rowsIn(['--latest', '--repository', 'attic'])).toBe(rows);
  });

  test('one backup is copied with the WAL it needs, and restored to its end', async () => {
    const one = ['copy', 'vault', 'usb', '--cluster', 'main', '--backup', 'latest'];
    expect(await site.report(one)).toMatchObject({ repaired: 0 });
    expect(globSync('clusters/main/1/backups/*/backup.json', { cwd: place('usb') })).toHaveLength(1);
    expect(globSync('clusters/main/1/wal/*/*/*', { cwd: place('usb') }).length).toBeLessThan(
      globSync('clusters/main/1/wal/*/*/*', { cwd: place('a') }).length,
    );
    expect(Number(await rowsIn(['--immediate', '--repository', 'usb']))).toBeGreaterThanOrEqual(1000);
  });
});
