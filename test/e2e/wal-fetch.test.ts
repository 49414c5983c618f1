import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mountSmall, needs } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, SELF } from './support/keyframe.ts';
import { unprivileged, withoutPermissions } from './support/privileges.ts';
import { Site } from './support/site.ts';

/** PostgreSQL stops recovery with FATAL; 1 to 125 would be the end of WAL. */
const STOPS = 200;

interface Call {
  readonly name?: string;
  readonly to?: string;
  readonly node?: string;
  readonly main?: string;
  readonly config?: string;
  readonly more?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly prefix?: readonly string[];
}

describe('wal fetch', () => {
  let site: Site;
  let segment: string;
  const stack = new AsyncDisposableStack();

  beforeAll(async () => {
    site = stack.use(await Site.create(18, { walSegmentSizeMiB: 1 }));
    segment = await site.archiveAll();
  });
  afterAll(() => stack.disposeAsync());

  const destination = (): string => site.freshPath('fetched');

  /** Runs restore_command's wrapper as PostgreSQL does. */
  const fetch = async (call: Call = {}): Promise<number> => {
    const { node = SELF.node, main = SELF.main, config = site.config, more = [] } = call;
    const words = [node, main, '--config', config, ...more, '--', call.name ?? segment, call.to ?? destination()];
    const { environment, prefix } = call;
    return (await run([SELF.restoreWrapper, ...words], { environment, prefix }).ended).status;
  };

  const objectOf = (name: string): string =>
    join(site.repository, 'clusters/main/1/wal', name.slice(0, 8), name.slice(8, 16), name);

  /** Takes the repository's directory away for the time of `action`. */
  const without = async (action: () => Promise<void>): Promise<void> => {
    const away = `${site.repository}.away`;
    await rename(site.repository, away);
    try {
      await action();
    } finally {
      await rm(site.repository, { recursive: true, force: true });
      await rename(away, site.repository);
    }
  };

  test('gives the bytes that PostgreSQL archived', async (context) => {
    await needs(context, 'postgres-18');
    const to = destination();
    expect(await fetch({ to })).toBe(0);
    expect((await readFile(to)).equals(await readFile(join(site.origin.data, 'pg_wal', segment)))).toBe(true);
  });

  test.each(['0000000100000000000000FF', '00000002.history', '000000020000000000000003'])(
    'says that %s is not in the archive, which was reached',
    async (name) => {
      const to = destination();
      expect(await fetch({ name, to })).toBe(1);
      await expect(stat(to)).rejects.toThrow('ENOENT');
    },
  );

  test('never ends recovery for an installation that does not start', async () => {
    expect((await run([SELF.restoreWrapper]).ended).status).toBe(STOPS);
    expect(await fetch({ node: '/nowhere/node' })).toBe(STOPS);
    expect(await fetch({ main: '/nowhere/main.ts' })).toBe(STOPS);
    expect(await fetch({ environment: { NODE_OPTIONS: '--bogus' } })).toBe(STOPS);
    const broken = join(await site.makeDirectory('install'), 'main.ts');
    await writeFile(broken, "import './gone.ts';\n");
    expect(await fetch({ main: broken })).toBe(STOPS);
    await writeFile(broken, '');
    expect(await fetch({ main: broken })).toBe(STOPS);
    await writeFile(broken, 'process.kill(process.pid, "SIGSEGV"); setTimeout(() => {}, 5000);\n');
    expect(await fetch({ main: broken })).toBe(STOPS);
  });

  test('never ends recovery for bad arguments', async () => {
    expect(await fetch({ more: ['--no-such-option'] })).toBe(STOPS);
    expect(await fetch({ more: ['--cluster', 'unknown'] })).toBe(STOPS);
    expect(await fetch({ more: ['--epoch', '99'] })).toBe(STOPS);
    expect(await fetch({ name: 'not-a-wal-file' })).toBe(STOPS);
    expect(await fetch({ to: '/nowhere/at/all' })).toBe(STOPS);
    const words = [SELF.node, SELF.main, '--config', site.config, '--', segment];
    expect((await run([SELF.restoreWrapper, ...words]).ended).status).toBe(STOPS);
  });

  test('never ends recovery for a config file that is missing or broken', async () => {
    expect(await fetch({ config: '/nowhere/keyframe.yaml' })).toBe(STOPS);
    const config = join(await site.makeDirectory('config'), 'keyframe.yaml');
    for (const text of ['', 'clusters: [', 'clusters: { main: { repository: gone } }\n']) {
      await writeFile(config, text);
      expect(await fetch({ config })).toBe(STOPS);
    }
  });

  test('never ends recovery for a store that is removed, replaced by nothing, or not to be read', async () => {
    const name = '0000000100000000000000FF';
    await without(async () => {
      expect(await fetch()).toBe(STOPS);
      expect(await fetch({ name })).toBe(STOPS);
      await mkdir(site.repository);
      expect(await fetch()).toBe(STOPS);
      expect(await fetch({ name })).toBe(STOPS);
      await writeFile(join(site.repository, 'keyframe.json'), '{}');
      expect(await fetch({ name })).toBe(STOPS);
    });
    expect(await fetch()).toBe(0);
  });

  test('never ends recovery for a store whose permissions are gone', async (context) => {
    await needs(context, 'unprivileged');
    const prefix = unprivileged();
    for (const directory of [site.repository, join(site.repository, 'clusters/main/1/wal')]) {
      await using _ = await withoutPermissions(directory);
      expect(await fetch({ prefix })).toBe(STOPS);
      expect(await fetch({ prefix, name: '0000000100000000000000FF' })).toBe(STOPS);
    }
    expect(await fetch({ prefix })).toBe(0);
  });

  test('never ends recovery for a store that is unmounted', async (context) => {
    await needs(context, 'tmpfs');
    await using disk = await mountSmall(64 << 10);
    const config = join(site.directory, 'mounted.yaml');
    await writeFile(config, (await readFile(site.config, 'utf8')).replace(site.repository, disk.directory));
    await site.report(['repository', 'create'], { config });
    await site.report(['wal', 'push', join(site.origin.data, 'pg_wal', segment)], { config });
    const name = '0000000100000000000000FF';
    expect(await fetch({ config })).toBe(0);
    expect(await fetch({ config, name })).toBe(1);
    await disk.unmount();
    expect(await fetch({ config })).toBe(STOPS);
    expect(await fetch({ config, name })).toBe(STOPS);
  });

  test('never gives out a damaged object, and leaves nothing in its place', async () => {
    await using handle = await open(objectOf(segment), 'r+');
    const { size } = await handle.stat();
    const kept = Buffer.alloc(1);
    await handle.read(kept, 0, 1, size - 20);
    await handle.write(Buffer.from([(kept[0] ?? 0) ^ 1]), 0, 1, size - 20);
    const to = destination();
    expect(await fetch({ to })).toBe(STOPS);
    await expect(stat(to)).rejects.toThrow('ENOENT');
    await handle.write(kept, 0, 1, size - 20);
    expect(await fetch({ to })).toBe(0);
  });

  test('takes a segment that vanished since the recovery was planned for a fault, not for the end', async () => {
    await site.backup();
    await site.origin.sql('create table later as select 1');
    const last = await site.archiveAll();
    const { directory } = await site.restore(['--latest']);
    const command = /^restore_command = '(.*)'$/m.exec(
      await readFile(join(directory, 'postgresql.auto.conf'), 'utf8'),
    )?.[1];
    const words = (name: string): string[] => [
      'sh',
      '-c',
      (command ?? 'exit 3').replaceAll("''", "'").replaceAll('%f', name).replaceAll('%p', destination()),
    ];
    expect((await run(words(last)).ended).status).toBe(0);
    await rename(objectOf(last), join(site.directory, 'taken-away'));
    expect((await run(words(last)).ended).status).toBe(STOPS);
    await rename(join(site.directory, 'taken-away'), objectOf(last));
    expect((await run(words('0000000100000000000000FF')).ended).status).toBe(1);
  });
});
