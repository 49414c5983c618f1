import {
  copyFile,
  link,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Host, Store } from '@keyframe/contracts';
import { drain, textOf } from '@keyframe/contracts/streams';
import { describeContract, storeCases, testHost } from '@keyframe/testkit';
import { afterAll, describe, expect, it, test } from 'vitest';
import plugin from './index.ts';

const home = await mkdtemp(join(tmpdir(), 'kf-store-'));
afterAll(() => rm(home, { recursive: true, force: true }));

let made = 0;
const newDirectory = (): string => join(home, String((made += 1)), 'store');
const open = (directory: string, host: Partial<Host> = {}): Store =>
  plugin.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, testHost(host));

describeContract({ describe, it }, 'store-fs', storeCases, () => open(newDirectory()));

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);

describe('options', () => {
  test('only the directory is required', async () => {
    expect(await validate({ directory: '/srv/backups' })).toEqual({
      value: { directory: '/srv/backups', fileMode: 0o640, directoryMode: 0o750 },
    });
  });

  test.each([
    [{}, 'directory'],
    [{ directory: 'relative' }, 'directory'],
    [{ directory: '' }, 'directory'],
    [{ directory: '/a', fileMode: 640 }, 'fileMode'],
    [{ directory: '/a', fileMode: '0999' }, 'fileMode'],
    [{ directory: '/a', directoryMode: 'rwx' }, 'directoryMode'],
    [{ directory: '/a', sync: false }, undefined],
  ])('%j is refused', async (options, path) => {
    const { issues } = await validate(options);
    expect(issues?.map((issue) => issue.path?.[0])).toEqual([path]);
  });

  test('the JSON Schema allows what the options allow', () => {
    expect(plugin.jsonSchema?.()).toMatchObject({ additionalProperties: false, required: ['directory'] });
  });
});

describe('on disk', () => {
  test('an object is a file of the mode asked for, and nothing else stays', async () => {
    const directory = newDirectory();
    const store = plugin.create({ directory, fileMode: 0o600, directoryMode: 0o700 }, testHost());
    await store.put('a/b/c', textOf('1'));
    expect((await stat(join(directory, 'a/b/c'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(directory, 'a/b'))).mode & 0o777).toBe(0o700);
    expect(await readdir(directory)).toEqual(['.keyframe-staging', 'a']);
    expect(await readdir(join(directory, 'a/b'))).toEqual(['c']);
    expect(await readdir(join(directory, '.keyframe-staging'))).toEqual([]);
  });

  test('a put that fails leaves no staging file', async () => {
    const directory = newDirectory();
    const store = open(directory);
    const broken = { sizeBytes: 5, open: () => textOf('123').open() };
    await expect(store.put('a', broken)).rejects.toMatchObject({ code: 'CORRUPT' });
    await store.put('b', textOf('x'));
    await expect(store.put('b', textOf('y'), { ifAbsent: true })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    expect(await readdir(join(directory, '.keyframe-staging'))).toEqual([]);
  });

  test('what cannot be published is not even made', async () => {
    const store = open(newDirectory());
    await store.put('a', textOf('x'), { ifAbsent: true });
    let asked = 0;
    const source = {
      sizeBytes: 1,
      open: () => {
        asked += 1;
        return textOf('y').open();
      },
    };
    await expect(store.put('a', source, { ifAbsent: true })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    expect(asked).toBe(0);
    await store.put('a', source);
    expect(asked).toBe(1);
  });

  test('the first put sweeps staging files older than a day', async () => {
    const directory = newDirectory();
    const staging = join(directory, '.keyframe-staging');
    await mkdir(staging, { recursive: true });
    const now = Date.parse('2030-01-02T12:00:00Z');
    for (const [name, age] of Object.entries({ old: 25, young: 23 })) {
      await writeFile(join(staging, name), '');
      await utimes(join(staging, name), now / 1000, now / 1000 - age * 3600);
    }
    const store = open(directory, { now: () => new Date(now) });
    await store.stat('a');
    expect(await readdir(staging)).toEqual(['old', 'young']);
    await store.put('a', textOf('x'));
    expect(await readdir(staging)).toEqual(['young']);
  });

  test('emptied directories go away', async () => {
    const directory = newDirectory();
    const store = open(directory);
    await store.put('a/b/c', textOf('x'));
    await store.put('a/d', textOf('x'));
    await store.delete(['a/b/c']);
    expect(await readdir(join(directory, 'a'))).toEqual(['d']);
    await store.delete(['a/d']);
    expect(await readdir(directory)).toEqual(['.keyframe-staging']);
  });

  test('keys come in order, across directories', async () => {
    const store = open(newDirectory());
    const keys = ['a-b', 'a/1', 'a/2/x', 'a0', 'b', 'b.c/d'];
    for (const key of keys.toReversed()) await store.put(key, textOf(''));
    expect(await Array.fromAsync(store.list(''), ({ key }) => key)).toEqual(keys);
  });

  test('staging files and lost+found are no objects', async () => {
    const directory = newDirectory();
    const store = open(directory);
    await store.put('l', textOf('x'));
    await mkdir(join(directory, 'lost+found'));
    await writeFile(join(directory, 'lost+found/#1'), '');
    await writeFile(join(directory, '.keyframe-staging/1'), '');
    expect(await Array.fromAsync(store.list(''), ({ key }) => key)).toEqual(['l']);
    expect(await Array.fromAsync(store.list('.keyframe-staging/'), ({ key }) => key)).toEqual([]);
    expect(await Array.fromAsync(store.list('lost'), ({ key }) => key)).toEqual([]);
    for (const key of ['.keyframe-staging/1', 'lost+found/#1', 'lost+found'])
      await expect(store.put(key, textOf(''))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  test('a narrow prefix reads no other directory', async () => {
    const directory = newDirectory();
    const store = open(directory);
    await store.put('in/ab/1', textOf('x'));
    // A symbolic link is refused wherever a listing meets it, so it tells what was read.
    for (const trap of ['trap', 'in/zz', 'out/trap']) {
      await mkdir(join(directory, trap, '..'), { recursive: true });
      await symlink('/', join(directory, trap));
    }
    expect(await Array.fromAsync(store.list('in/a'), ({ key }) => key)).toEqual(['in/ab/1']);
    await expect(Array.fromAsync(store.list('in/'))).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  });
});

describe('refuses', () => {
  test('symbolic links below its directory, in every operation', async () => {
    const directory = newDirectory();
    const store = open(directory);
    await store.put('x/here', textOf('x'));
    const outside = await mkdtemp(join(home, 'outside-'));
    await writeFile(join(outside, 'secret'), 'secret');
    await symlink(outside, join(directory, 'x/out'));
    await symlink(join(outside, 'secret'), join(directory, 'x/file'));
    const denied = { code: 'ACCESS_DENIED', hint: expect.stringContaining('symbolic link') };
    for (const key of ['x/out/secret', 'x/file']) {
      await expect(store.get(key)).rejects.toMatchObject(denied);
      await expect(store.stat(key)).rejects.toMatchObject(denied);
    }
    await expect(store.put('x/out/secret', textOf('y'))).rejects.toMatchObject(denied);
    await expect(store.put('x/out/new/deep', textOf('y'))).rejects.toMatchObject(denied);
    await expect(store.delete(['x/out/secret'])).rejects.toMatchObject(denied);
    await expect(Array.fromAsync(store.list('x/'))).rejects.toMatchObject(denied);
    await expect(Array.fromAsync(store.list('x/out/s'))).rejects.toMatchObject(denied);
    expect(await readdir(outside)).toEqual(['secret']);
  });

  test('an object where a prefix stands and a prefix where an object stands', async () => {
    const store = open(newDirectory());
    await store.put('a/b', textOf('x'));
    for (const ifAbsent of [true, false]) {
      for (const key of ['a', 'a/b/c', 'a/b/c/d'])
        await expect(store.put(key, textOf('y'), { ifAbsent })).rejects.toMatchObject({ code: 'CONFLICT' });
    }
    expect((await drain(await store.get('a/b'))).toString()).toBe('x');
  });

  test('a key that the file system cannot hold', async () => {
    const store = open(newDirectory());
    await expect(store.put('x'.repeat(300), textOf(''))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(store.get('x'.repeat(300))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});

describe('never calls an object absent', () => {
  test('when its directory is no longer the one it knew', async () => {
    const directory = newDirectory();
    const store = open(directory);
    await store.put('a', textOf('x'));
    await rename(directory, `${directory}-unmounted`);
    await mkdir(directory);
    const gone = { code: 'UNAVAILABLE', hint: expect.stringContaining('findmnt') };
    await expect(store.stat('a')).rejects.toMatchObject(gone);
    await expect(store.get('a')).rejects.toMatchObject(gone);
    await expect(store.put('a', textOf('y'))).rejects.toMatchObject(gone);
    await expect(store.delete(['a'])).rejects.toMatchObject(gone);
    await expect(Array.fromAsync(store.list('a/'))).rejects.toMatchObject(gone);
    await rm(directory, { recursive: true });
    await rename(`${directory}-unmounted`, directory);
    expect((await drain(await store.get('a'))).toString()).toBe('x');
  });

  test('while nothing was ever stored it is', async () => {
    const store = open(newDirectory());
    expect(await store.stat('a')).toBeUndefined();
    expect(await Array.fromAsync(store.list(''))).toEqual([]);
    await expect(store.get('a')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

test('the directory may be given by a symbolic link', async () => {
  const directory = newDirectory();
  await mkdir(directory, { recursive: true });
  await symlink(directory, `${directory}-link`);
  const store = open(`${directory}-link`);
  await store.put('a/b', textOf('x'));
  expect(await readdir(join(directory, 'a'))).toEqual(['b']);
  expect((await store.stat('a/b'))?.sizeBytes).toBe(1);
});

test('a staging directory removed by hand is made again', async () => {
  const directory = newDirectory();
  const store = open(directory);
  await store.put('a', textOf('x'));
  await rm(join(directory, '.keyframe-staging'), { recursive: true });
  await store.put('b', textOf('x'));
  expect((await store.stat('b'))?.sizeBytes).toBe(1);
});

test('an object that was copied with its time is told from the one it was copied from', async () => {
  const directory = newDirectory();
  const store = open(directory);
  await store.put('a', textOf('bytes'));
  const before = await store.stat('a');
  const path = join(directory, 'a');
  const { atime, mtime } = await stat(path);
  await copyFile(path, `${path}.new`);
  await rename(`${path}.new`, path);
  await utimes(path, atime, mtime);
  const after = await store.stat('a');
  // utimes takes whole microseconds, and floating ones at that.
  expect(Math.abs(Number(after?.modifiedAt) - Number(before?.modifiedAt))).toBeLessThanOrEqual(1);
  expect(after?.place).not.toBe(before?.place);
  expect((await Array.fromAsync(store.list('')))[0]?.place).toBe(after?.place);
});

test('an object with further links is an object', async () => {
  const directory = newDirectory();
  const store = open(directory);
  await store.put('a', textOf('x'));
  await link(join(directory, 'a'), join(home, 'kept'));
  await store.delete(['a']);
  expect(await store.stat('a')).toBeUndefined();
});
