import { type Store } from '@keyframe/contracts';
import { bytesOf, drain, textOf } from '@keyframe/contracts/streams';
import { needs } from '@keyframe/testkit/postgres';
import {
  createBucket,
  keepVersions,
  MINIO_KEY,
  type S3Server,
  startMinio,
  startMinistack,
  startMoto,
  startVersitygw,
} from '@keyframe/testkit/servers';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { openStore, ownerOf } from './support.ts';

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());

const once = (start: () => Promise<S3Server>): (() => Promise<S3Server>) => {
  let started: Promise<S3Server> | undefined;
  return () => (started ??= start().then((server) => stack.use(server)));
};
const servers = {
  versitygw: once(startVersitygw),
  minio: once(startMinio),
  ministack: once(startMinistack),
  moto: once(startMoto),
} as const;
const secureMinio = once(() => startMinio({ tls: true }));

let buckets = 0;
async function open(
  server: S3Server,
  how: { readonly locked?: boolean; readonly versioned?: boolean } = {},
  options: Readonly<Record<string, unknown>> = {},
): Promise<Store> {
  const bucket = `facets-${(buckets += 1)}`;
  await createBucket(server, bucket, { locked: how.locked === true });
  if (how.versioned === true) await keepVersions(server, bucket);
  return stack.adopt(openStore({ ...ownerOf(server, bucket), prefix: 'of/ours', ...options }), (store) =>
    store.close?.(),
  );
}

/** What every bucket of S3 has. */
function facets({ versions, retention }: Store): Pick<Required<Store>, 'versions' | 'retention'> {
  if (versions === undefined || retention === undefined) throw new Error('a facet is missing');
  return { versions, retention };
}

const text = async (body: Parameters<typeof drain>[0]): Promise<string> => (await drain(body)).toString();

describe.each(['versitygw', 'minio'] as const)('on %s', (name) => {
  beforeEach((context) => needs(context, name));
  const server = servers[name];

  test('versions are listed, read and removed one by one', async () => {
    const store = await open(await server(), { versioned: true });
    expect(await store.versions?.enabled()).toBe(true);
    for (const body of ['one', 'two']) await store.put('a/b', textOf(body));
    await store.put('other', textOf('x'));
    await store.delete(['a/b']);
    expect(await store.stat('a/b')).toBeUndefined();
    const found = await Array.fromAsync(store.versions?.list('a/') ?? []);
    expect(found.map(({ key, deleted, latest }) => ({ key, deleted, latest }))).toEqual(
      expect.arrayContaining([
        { key: 'a/b', deleted: true, latest: true },
        { key: 'a/b', deleted: false, latest: false },
        { key: 'a/b', deleted: false, latest: false },
      ]),
    );
    const bodies = found.filter(({ deleted }) => !deleted).map(({ version }) => store.versions?.get('a/b', version));
    const texts = await Promise.all(bodies.map(async (body) => text((await body) ?? bytesOf().open())));
    expect(texts.toSorted()).toEqual(['one', 'two']);
    await store.versions?.delete(found.filter(({ deleted }) => deleted));
    expect(await text(await store.get('a/b'))).toBe('two');
    await expect(store.versions?.get('a/b', '01ARZ3NDEKTSV4RRFFQ69G5FAV')).rejects.toBeDefined();
  });

  test('a bucket without versions says so, and is not locked', async () => {
    const store = await open(await server());
    expect(await store.versions?.enabled()).toBe(false);
    expect(await store.retention?.enabled()).toBe(false);
  });

  test('what is locked cannot be removed, by us neither, and a lock only grows', async () => {
    const store = await open(await server(), { locked: true });
    const { retention, versions } = facets(store);
    expect(await retention.enabled()).toBe(true);
    const soon = new Date(Math.ceil(Date.now() / 1000) * 1000 + 3_600_000);
    const later = new Date(soon.getTime() + 3_600_000);
    await store.put('a', textOf('one'), { retainUntil: soon });
    await store.put('b', textOf('one'));
    expect(await retention.until('a')).toEqual(soon);
    expect(await retention.until('b')).toBeUndefined();
    await retention.extend('a', later);
    expect(await retention.until('a')).toEqual(later);
    await retention.extend('a', soon);
    expect(await retention.until('a')).toEqual(later);
    const locked = await Array.fromAsync(versions.list('a'));
    const doomed = [...locked, ...(await Array.fromAsync(versions.list('b')))];
    expect(doomed).toHaveLength(2);
    await expect(versions.delete(doomed)).rejects.toMatchObject({ code: 'ACCESS_DENIED', details: { locked: true } });
    expect(await Array.fromAsync(versions.list('b'))).toEqual([]);
    await store.delete(['a']);
    expect(await store.stat('a')).toBeUndefined();
    for (const { version } of locked) expect(await text(await versions.get('a', version))).toBe('one');
    await expect(retention.until('none')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('tags are set and read', async () => {
    const store = await open(await server());
    await store.put('a', textOf('one'));
    expect(await store.tags?.of('a')).toEqual({});
    await store.tags?.set('a', { 'keyframe-tier': 'cold', more: 'x y' });
    expect(await store.tags?.of('a')).toEqual({ 'keyframe-tier': 'cold', more: 'x y' });
    await expect(store.tags?.of('none')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

test('objects in parts, one after the other and beside each other, keep their bytes', async (context) => {
  await needs(context, 'versitygw');
  const store = await open(await servers.versitygw(), {}, { partMiB: 5, concurrency: 3 });
  const bytes = randomBytes(17 << 20);
  const chunks = Array.from({ length: 68 }, (_, index) => bytes.subarray(index << 18, (index + 1) << 18));
  for (const keys of [['a'], ['b'], ['c', 'd', 'e']])
    await Promise.all(keys.map((key) => store.put(key, bytesOf(...chunks), { ifAbsent: true })));
  for (const key of ['a', 'b', 'c', 'd', 'e']) expect((await drain(await store.get(key))).equals(bytes)).toBe(true);
});

describe('encryption by MinIO', () => {
  beforeEach((context) => needs(context, 'minio'));

  test.each([
    ['SSE-S3', { kind: 's3' }, 'SSE-S3'],
    ['SSE-KMS', { kind: 'kms', key: MINIO_KEY, context: { team: 'db' } }, 'SSE-KMS'],
  ])('%s hides the bytes from the disk', async (_, sse, method) => {
    const server = await servers.minio();
    const store = await open(server, {}, { sse, partMiB: 5 });
    const secret = Buffer.concat([Buffer.from('written in plain words'), randomBytes(6 << 20)]);
    await store.put('small', textOf('written in plain words'));
    await store.put('large', bytesOf(secret));
    expect((await drain(await store.get('large'))).equals(secret)).toBe(true);
    for (const key of ['small', 'large']) {
      const found = await store.atRest?.of(key);
      expect(found?.method).toBe(method);
      expect(found !== undefined && store.atRest?.matches(found)).toBe(true);
    }
    expect(store.atRest?.matches({ method: 'SSE-KMS', keyId: 'arn:aws:kms:another' })).toBe(false);
    expect(await onDisk(server, store.location?.container ?? '', 'written in plain words')).toBe(false);
  });

  test('a key of MinIO that is not there is told as such', async () => {
    const store = await open(await servers.minio(), {}, { sse: { kind: 'kms', key: 'no-such-key' } });
    await expect(store.put('a', textOf('x'))).rejects.toMatchObject({ code: expect.not.stringMatching('UNAVAILABLE') });
  });

  test('SSE-C over TLS: nothing is read without the key', async () => {
    const server = await secureMinio();
    const certificateAuthority = await readFile(server.caFile ?? '', 'utf8');
    const key = randomBytes(32).toString('base64');
    const store = await open(server, {}, { certificateAuthority, sse: { kind: 'customer', key }, partMiB: 5 });
    const bytes = randomBytes(6 << 20);
    await store.put('small', textOf('words'), { ifAbsent: true });
    await store.put('large', bytesOf(bytes));
    expect(await text(await store.get('small'))).toBe('words');
    expect(
      (await drain(await store.get('large', { range: { start: 5_300_000 } }))).equals(bytes.subarray(5_300_000)),
    ).toBe(true);
    expect(await store.atRest?.of('small')).toEqual({ method: 'SSE-C' });
    const owner = { ...ownerOf(server, store.location?.container ?? ''), prefix: 'of/ours', certificateAuthority };
    const without = openStore(owner);
    await expect(without.get('small')).rejects.toBeDefined();
    const untrusting = openStore({ ...owner, certificateAuthority: undefined });
    await expect(untrusting.stat('small')).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      hint: expect.stringContaining('certificateAuthority'),
    });
  });
});

async function onDisk(server: S3Server, bucket: string, words: string): Promise<boolean> {
  const entries = await readdir(join(server.directory ?? '', bucket), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  expect(files.length).toBeGreaterThan(0);
  for (const file of files) if ((await readFile(file)).includes(words)) return true;
  return false;
}

describe('emulated by ministack', () => {
  beforeEach((context) => needs(context, 'ministack'));

  test('an archived object is thawed before it is read', async () => {
    const store = await open(await servers.ministack());
    await store.put('a', textOf('cold'), { storageClass: 'GLACIER' });
    await store.put('b', textOf('warm'));
    expect(await store.tiers?.state('a')).toEqual({ storageClass: 'GLACIER', readable: false, thawing: false });
    expect(await store.tiers?.state('b')).toEqual({ storageClass: 'STANDARD', readable: true, thawing: false });
    await expect(store.get('a')).rejects.toMatchObject({ code: 'UNAVAILABLE', details: { archived: true } });
    await store.tiers?.thaw('a', { days: 2, speed: 'bulk' });
    await store.tiers?.thaw('a', { days: 2, speed: 'bulk' });
    expect(await store.tiers?.state('a')).toMatchObject({ storageClass: 'GLACIER', thawing: true });
    await store.tiers?.move('b', 'STANDARD_IA');
    expect((await store.tiers?.state('b'))?.storageClass).toBe('STANDARD_IA');
    expect(await text(await store.get('b'))).toBe('warm');
    const classes = await Array.fromAsync(store.list(''), ({ key, storageClass }) => [key, storageClass]);
    expect(classes).toEqual([
      ['a', 'GLACIER'],
      ['b', 'STANDARD_IA'],
    ]);
  });

  test('the bucket copies to another', async () => {
    const server = await servers.ministack();
    await createBucket(server, 'copies');
    await keepVersions(server, 'copies');
    const replicateTo = { bucket: 'copies', role: 'arn:aws:iam::000000000000:role/copy' };
    const store = await open(server, { versioned: true }, { replicateTo });
    expect(await store.replication?.read()).toEqual([]);
    expect(await store.replication?.plan()).toMatchObject({
      problems: [],
      document: expect.stringContaining('of/ours/'),
    });
    await store.replication?.apply();
    await store.replication?.apply();
    expect(await store.replication?.read()).toEqual(["keyframe-of-ours-: copies 'of/ours/*' to arn:aws:s3:::copies"]);
    const plain = await open(server, {}, { replicateTo });
    await expect(plain.replication?.apply()).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});

describe('emulated by moto', () => {
  beforeEach((context) => needs(context, 'moto'));

  test('a thaw that is done says until when', async () => {
    const store = await open(await servers.moto());
    await store.put('a', textOf('cold'), { storageClass: 'GLACIER' });
    await expect(store.get('a')).rejects.toMatchObject({ code: 'UNAVAILABLE', details: { archived: true } });
    await store.tiers?.thaw('a', { days: 2, speed: 'expedited' });
    const state = await store.tiers?.state('a');
    expect(state).toMatchObject({ storageClass: 'GLACIER', readable: true, thawing: false });
    expect(state?.readableUntil).toBeInstanceOf(Date);
    expect(await text(await store.get('a'))).toBe('cold');
  });

  test("rules of ours are replaced, other people's stay", async () => {
    const server = await servers.moto();
    const store = await open(server);
    const bucket = store.location?.container ?? '';
    const whole = openStore(ownerOf(server, bucket));
    await whole.lifecycle?.write([
      { id: 'people-tidy', prefix: 'logs/', action: { kind: 'expire', afterDays: 7 } },
      { id: 'people-cool', prefix: '', action: { kind: 'transition', afterDays: 90, storageClass: 'GLACIER' } },
    ]);
    expect((await store.lifecycle?.read())?.rules).toEqual([
      { id: 'people-cool', prefix: '', action: { kind: 'transition', afterDays: 90, storageClass: 'GLACIER' } },
    ]);
    const rules = [
      { id: 'keyframe-uploads', prefix: '', action: { kind: 'abort-uploads', afterDays: 3 } },
      { id: 'keyframe-old', prefix: '', action: { kind: 'expire-old-versions', afterDays: 30 } },
      {
        id: 'keyframe-cold',
        prefix: 'clusters/',
        tag: { key: 'keyframe-tier', value: 'cold' },
        action: { kind: 'transition', afterDays: 1, storageClass: 'DEEP_ARCHIVE' },
      },
    ] as const;
    await store.lifecycle?.write([...rules, { ...rules[0], id: 'keyframe-gone' }]);
    await store.lifecycle?.write(rules);
    const read = await store.lifecycle?.read();
    expect(read?.foreign).toEqual([]);
    expect(read?.rules.filter(({ id }) => id.startsWith('keyframe-'))).toEqual(expect.arrayContaining([...rules]));
    expect(read?.rules.map(({ id }) => id).toSorted()).toEqual(
      ['keyframe-cold', 'keyframe-old', 'keyframe-uploads', 'people-cool'].toSorted(),
    );
    expect((await whole.lifecycle?.read())?.rules.some(({ id }) => id === 'people-tidy')).toBe(true);
  });
});
