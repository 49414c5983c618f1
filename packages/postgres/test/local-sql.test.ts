/** Sessions through `pg`: hosts in order, encryption, refusals, broken connections. */
import { execFile } from 'node:child_process';
import { appendFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { Cluster, freePort } from '@keyframe/testkit/postgres';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { resolveConnection } from '../src/connection/resolve.ts';
import { quoteLiteral } from '../src/sql/least-privilege.ts';
import { connectSql, type SqlSession } from '../src/sql/session.ts';

const run = promisify(execFile);
let cluster: Cluster;
let hasTls = false;
const opened: SqlSession[] = [];

async function open(
  url: string,
  environment: Readonly<Record<string, string>> = {},
  signal?: AbortSignal,
): Promise<SqlSession> {
  const target = await resolveConnection(url, { HOME: cluster.directory, ...environment });
  const session = await connectSql(target, { signal });
  opened.push(session);
  return session;
}

async function makeCertificate(): Promise<boolean> {
  const [key, certificate] = ['server.key', 'server.crt'].map((name) => path.join(cluster.data, name));
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject];
  return run('openssl', [...request, '-keyout', key ?? '', '-out', certificate ?? '']).then(
    () => true,
    () => false,
  );
}

beforeAll(async () => {
  cluster = await Cluster.create(18, { template: true });
  hasTls = await makeCertificate();
  if (hasTls) await appendFile(path.join(cluster.data, 'postgresql.conf'), 'ssl = on\n');
  await writeFile(
    path.join(cluster.data, 'pg_hba.conf'),
    [
      'local all postgres trust',
      'host all nobody 127.0.0.1/32 reject',
      'host all asker 127.0.0.1/32 scram-sha-256',
      'host all postgres 127.0.0.1/32 trust',
      '',
    ].join('\n'),
  );
  await cluster.start();
  await cluster.sql(`create role asker login password ${quoteLiteral("s'ecret")}; create role nobody login`);
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()));
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

const tcp = (user: string, rest = ''): string => `postgresql://${user}@127.0.0.1:${cluster.port}/postgres${rest}`;

describe('connectSql', () => {
  it('tries the hosts in order, a socket directory among them', async () => {
    const dead = await freePort();
    const hosts = `127.0.0.1:${dead},${encodeURIComponent(cluster.socketDirectory)}:${cluster.port}`;
    const sql = await open(`postgresql://postgres@${hosts}/postgres?application_name=looker`);
    expect(sql.versionNumber).toBeGreaterThanOrEqual(180_000);
    expect(await sql.query('show application_name')).toEqual([{ application_name: 'looker' }]);
  });

  it('takes a server only if it is of the wanted kind', async () => {
    await expect(open(tcp('postgres', '?target_session_attrs=standby'))).rejects.toMatchObject({
      code: 'SERVER_UNREACHABLE',
    });
    const sql = await open(tcp('postgres', '?target_session_attrs=primary'));
    expect(await sql.query('select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('names an unreachable server', async () => {
    const dead = await freePort();
    await expect(open(`postgresql://postgres@127.0.0.1:${dead}/postgres`)).rejects.toMatchObject({
      code: 'SERVER_UNREACHABLE',
      message: expect.stringContaining(`127.0.0.1:${dead}`),
    });
  });

  it.each([
    ['a line of pg_hba.conf', () => tcp('nobody', '?sslmode=disable'), {}],
    ['no password', () => tcp('asker'), {}],
    ['a wrong password', () => tcp('asker'), { PGPASSWORD: 'wrong' }],
    ['an unknown database', () => tcp('postgres').replace('/postgres', '/nowhere'), {}],
  ])('is refused by %s', async (_, url, environment) => {
    await expect(open(url(), environment)).rejects.toMatchObject({
      code: 'SERVER_REFUSED',
      hint: expect.stringMatching(/./),
    });
  });

  it('authenticates by password, with channel binding over TLS', async (context) => {
    const password = { PGPASSWORD: "s'ecret" };
    const plain = await open(tcp('asker', '?sslmode=disable'), password);
    expect(await plain.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()')).toEqual([{ ssl: false }]);
    await expect(open(tcp('asker', '?sslmode=disable&channel_binding=require'), password)).rejects.toMatchObject({
      code: 'SERVER_REFUSED',
    });
    context.skip(!hasTls, 'needs openssl for a certificate');
    const secure = await open(tcp('asker', '?sslmode=require&channel_binding=require'), password);
    expect(await secure.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()')).toEqual([{ ssl: true }]);
    await expect(open(tcp('asker', '?sslmode=verify-full'), password)).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
    const root = encodeURIComponent(path.join(cluster.data, 'server.crt'));
    // The certificate is for localhost, and 127.0.0.1 is another name.
    await expect(open(tcp('asker', `?sslmode=verify-full&sslrootcert=${root}`), password)).rejects.toMatchObject({
      code: 'SERVER_UNREACHABLE',
    });
    const named = tcp('asker', `?sslmode=verify-full&sslrootcert=${root}`).replace('127.0.0.1', 'localhost');
    const verified = await open(named, password);
    expect(await verified.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()')).toEqual([{ ssl: true }]);
  });

  it('takes nothing from the environment of the process', async () => {
    process.env['PGAPPNAME'] = 'stranger';
    process.env['PGOPTIONS'] = '-c work_mem=77MB';
    try {
      const sql = await open(tcp('postgres'));
      expect(await sql.query('show application_name')).toEqual([{ application_name: 'keyframe' }]);
      expect(await sql.query('show work_mem')).toEqual([{ work_mem: '4MB' }]);
    } finally {
      delete process.env['PGAPPNAME'];
      delete process.env['PGOPTIONS'];
    }
  });
});

describe('SqlSession', () => {
  it('gives small values as such and large ones as exact text', async () => {
    const sql = await open(tcp('postgres'));
    const [row] = await sql.query(
      `select true as b, 42 as i, 1.5::float8 as f, 9007199254740993 as l, '{"a":[1]}'::jsonb as j, null as n,
              '2026-11-03 14:05:59.123456+00'::timestamptz at time zone 'UTC' as t, $1::text as p`,
      ["it's"],
    );
    expect(row).toEqual({
      b: true,
      i: 42,
      f: 1.5,
      l: '9007199254740993',
      j: { a: [1] },
      n: null,
      t: '2026-11-03 14:05:59.123456',
      p: "it's",
    });
  });

  it('stays usable after an error of the server, and says its SQLSTATE', async () => {
    const sql = await open(tcp('postgres'));
    await expect(sql.query('select 1/0')).rejects.toMatchObject({
      code: 'SERVER_ERROR',
      details: { sqlstate: '22012' },
    });
    const answers = await Promise.all([sql.query('select 1 as x'), sql.query('select 2 as x')]);
    expect(answers.flat()).toEqual([{ x: 1 }, { x: 2 }]);
  });

  it('reports a connection that the server ended', async () => {
    const [sql, killer] = [await open(tcp('postgres')), await open(tcp('postgres'))];
    const [row] = await sql.query<{ pid: number }>('select pg_backend_pid() as pid');
    const [waiting] = await Promise.allSettled([
      sql.query('select pg_sleep(60)'),
      killer.query('select pg_terminate_backend($1)', [row?.pid]),
    ]);
    expect(waiting).toMatchObject({ status: 'rejected', reason: { code: 'SERVER_UNREACHABLE' } });
    await expect(sql.query('select 1')).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE' });
  });

  it('ends with its signal, and closes more than once', async () => {
    const controller = new AbortController();
    const sql = await open(tcp('postgres'), {}, controller.signal);
    const waiting = sql.query('select pg_sleep(60)');
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(sql.query('select 1')).rejects.toBe(reason);
    await sql.close();
    await sql.close();
    await expect(open(tcp('postgres'), {}, controller.signal)).rejects.toBe(reason);
  });
});
