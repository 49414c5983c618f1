import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveConnection } from './resolve.ts';
import type { ConnectionTarget, Environment } from './target.ts';

const HOME = '/nonexistent';
const resolve = (url?: string, environment: Environment = {}): Promise<ConnectionTarget> =>
  resolveConnection(url, { HOME, ...environment });
const places = async (url?: string, environment?: Environment): Promise<readonly string[]> =>
  (await resolve(url, environment)).hosts.map(({ host, port, address }) => `${host} ${address ?? '-'} ${port}`);
const refused = { code: 'INVALID_OPTION', hint: expect.any(String) };

describe('resolveConnection', () => {
  it('fills in the defaults of libpq', async () => {
    const { username } = userInfo();
    expect(await resolve()).toMatchObject({
      hosts: [
        { host: '/var/run/postgresql', port: 5432 },
        { host: '/tmp', port: 5432 },
      ],
      user: username,
      database: username,
      password: undefined,
      channelBinding: 'prefer',
      connectTimeoutMs: 0,
      applicationName: 'keyframe',
      targetSessionAttributes: 'any',
      loadBalance: false,
      ssl: { mode: 'prefer', negotiation: 'postgres', sni: true, minimumVersion: 'TLSv1.2' },
      warnings: [],
    });
  });

  it('takes what the url leaves open from the environment', async () => {
    const environment = {
      PGHOST: 'other',
      PGPORT: '5433',
      PGUSER: 'bob',
      PGPASSWORD: 'secret',
      PGDATABASE: 'shop',
      PGSSLMODE: 'require',
      PGCONNECT_TIMEOUT: '7',
      PGAPPNAME: 'app',
      PGTARGETSESSIONATTRS: 'primary',
      PGOPTIONS: '-c x=y',
      PGCHANNELBINDING: 'require',
      PGSSLNEGOTIATION: 'direct',
      PGSSLROOTCERT: '/ca.crt',
      PGSSLCERT: '/me.crt',
      PGSSLKEY: '/me.key',
    };
    const target = await resolve('postgresql://ann@db', environment);
    expect(target).toMatchObject({
      hosts: [{ host: 'db', port: 5433 }],
      user: 'ann',
      database: 'shop',
      connectTimeoutMs: 7000,
      applicationName: 'app',
      targetSessionAttributes: 'primary',
      options: '-c x=y',
      channelBinding: 'require',
      ssl: {
        mode: 'require',
        negotiation: 'direct',
        rootCertificate: { path: '/ca.crt', named: true },
        certificate: { path: '/me.crt', named: true },
        key: { path: '/me.key', named: true },
      },
    });
    expect(target.password?.reveal()).toBe('secret');
    expect(target.hosts[0]?.replicationPassword?.reveal()).toBe('secret');
  });

  it('never prints a password', async () => {
    const target = await resolve('postgresql://ann:hidden@db?sslpassword=hidden');
    expect(inspect(target, { depth: 9 }) + JSON.stringify(target)).not.toContain('hidden');
  });

  it('takes keyword=value strings as well', async () => {
    expect(await places("host=db port=5433 user='ann'")).toEqual(['db - 5433']);
  });

  it.each([
    ['postgresql://a:1,b:2/', ['a - 1', 'b - 2']],
    ['postgresql://a,b:2/', ['a - 5432', 'b - 2']],
    ['postgresql://a,b?port=7', ['a - 7', 'b - 7']],
    ['postgresql://a,b?hostaddr=10.0.0.1,10.0.0.2', ['a 10.0.0.1 5432', 'b 10.0.0.2 5432']],
    ['postgresql://?hostaddr=10.0.0.1', ['10.0.0.1 10.0.0.1 5432']],
    ['postgresql://%2Frun%2Fpg:5433', ['/run/pg - 5433']],
    ['postgresql://a,/', ['a - 5432', '/var/run/postgresql - 5432', '/tmp - 5432']],
  ])('lists the places of %s', async (url, expected) => {
    expect(await places(url)).toEqual(expected);
  });

  it.each([
    'postgresql://a,b:1:2',
    'postgresql://a,b,c?port=1,2',
    'postgresql://a,b?hostaddr=10.0.0.1',
    'postgresql://?hostaddr=db',
    'postgresql://a:0',
    'postgresql://a:65536',
    'postgresql://a:x',
    'postgresql://a?connect_timeout=soon',
    'postgresql://a?sslmode=on',
    'postgresql://a?sslrootcert=system&sslmode=require',
    'postgresql://a?sslnegotiation=direct',
    'postgresql://a?target_session_attrs=master',
    'postgresql://a?channel_binding=yes',
    'postgresql://a?gssencmode=require',
    'postgresql://a?client_encoding=latin1',
    'postgresql://a?require_auth=scram-sha-256',
    'postgresql://a?service=x',
    'postgresql://a?nonsense=1',
    'mysql://a',
  ])('refuses %s', async (url) => {
    await expect(resolve(url)).rejects.toMatchObject(refused);
  });

  it('names the parameter that was meant', async () => {
    await expect(resolve('postgresql://a?ssl_mode=require')).rejects.toMatchObject({
      message: 'unknown connection parameter "ssl_mode"',
      hint: 'Write sslmode in the source url.',
    });
    await expect(resolve('postgresql://a?connect_timeou=3')).rejects.toMatchObject({
      hint: 'Write connect_timeout in the source url.',
    });
  });

  it('names the variable at fault', async () => {
    await expect(resolve('postgresql://a', { PGSSLMODE: 'on' })).rejects.toMatchObject({
      hint: expect.stringMatching(/PGSSLMODE.*environment/),
    });
    await expect(resolve('postgresql://a', { PGREQUIREAUTH: 'scram-sha-256' })).rejects.toMatchObject(refused);
  });

  it('accepts parameters of libpq that change nothing here', async () => {
    expect(await places('postgresql://a?tcp_user_timeout=5&sslcompression=0')).toEqual(['a - 5432']);
  });

  it('wants the name checked where the machine is trusted', async () => {
    expect((await resolve('postgresql://a?sslrootcert=system')).ssl.mode).toBe('verify-full');
  });

  it('takes zero and negative for no limit of time', async () => {
    expect((await resolve('postgresql://a?connect_timeout=-1')).connectTimeoutMs).toBe(0);
  });
});

describe('resolveConnection with a password file', () => {
  let directory = '';
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kf-resolve-'));
    const lines = ['a:5432:replication:ann:for-replication', 'a:5432:*:ann:any', 'localhost:*:*:ann:local'];
    await writeFile(join(directory, '.pgpass'), lines.join('\n'), { mode: 0o600 });
    await writeFile(join(directory, 'open'), lines.join('\n'), { mode: 0o644 });
  });
  afterAll(() => rm(directory, { recursive: true }));

  const passwords = async (url: string, environment: Environment = {}): Promise<readonly (string | undefined)[]> => {
    const { hosts } = await resolve(url, { HOME: directory, ...environment });
    return hosts.flatMap(({ password, replicationPassword }) => [password?.reveal(), replicationPassword?.reveal()]);
  };

  it('gives each host its own password, and replication its own', async () => {
    expect(await passwords('postgresql://ann@a,b/shop')).toEqual(['any', 'for-replication', undefined, undefined]);
  });

  it('knows the default socket directory as localhost', async () => {
    expect(await passwords('postgresql://ann@/shop?host=/tmp')).toEqual(['local', 'local']);
    expect(await passwords('postgresql://ann@/shop?host=/elsewhere')).toEqual([undefined, undefined]);
  });

  it('is not read when a password is given', async () => {
    const target = await resolve('postgresql://ann:mine@a', { HOME: directory });
    expect(target.hosts[0]?.password?.reveal()).toBe('mine');
    expect(target.passwordFile).toBeUndefined();
  });

  it('warns of one that others can read', async () => {
    const target = await resolve('postgresql://ann@a', { PGPASSFILE: join(directory, 'open') });
    expect(target.hosts[0]?.password).toBeUndefined();
    expect(target.warnings).toEqual([expect.stringContaining('can be read by others')]);
  });
});
