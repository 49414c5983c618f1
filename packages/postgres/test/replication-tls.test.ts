/** Encrypted replication connections, against an authority made here. */
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createServer } from 'node:tls';
import { Cluster, freePort, type Major } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectReplication } from '../src/index.ts';
import { type Authority, createAuthority } from './certificates.ts';
import { lateHashingSink, login, manifestChecksums, targetOf } from './replication-helpers.ts';

const HOST = 'db.example';
const HBA = `
local     all         all                       trust
hostssl   replication postgres    127.0.0.1/32  trust
hostnossl replication plain       127.0.0.1/32  trust
hostssl   replication certified   127.0.0.1/32  cert
host      replication scram       127.0.0.1/32  scram-sha-256
`;

interface Place {
  readonly cluster: Cluster;
  readonly authority: Authority;
  readonly stranger: Authority;
}

async function startWithTls(major: Major, issue?: Parameters<Authority['issue']>[1]): Promise<Place> {
  const cluster = await Cluster.create(major, { template: true });
  const authority = await createAuthority(cluster.directory, 'own');
  const stranger = await createAuthority(cluster.directory, 'strange');
  const { certificate, key } = await authority.issue(HOST, { ...issue, directory: cluster.data });
  await chmod(key, 0o600);
  await writeFile(path.join(cluster.data, 'pg_hba.conf'), HBA);
  const settings = {
    ssl: 'on',
    ssl_cert_file: certificate,
    ssl_key_file: key,
    ssl_ca_file: authority.certificate,
  };
  await cluster.start({ settings });
  await cluster.sql(`
    create role plain login replication;
    create role certified login replication;
    create role scram login replication password 'sesame'`);
  return { cluster, authority, stranger };
}

/** A url by which the server at 127.0.0.1 is known as `host`. */
function urlOf({ cluster }: Place, parameters: Readonly<Record<string, string>>): string {
  const { user = 'postgres', ...others } = parameters;
  const query = new URLSearchParams({ hostaddr: '127.0.0.1', host: HOST, ...others });
  return `postgresql://${user}@:${cluster.port}/?${query.toString().replaceAll('+', '%20')}`;
}

describe.each([14, 18] as const)('TLS to PostgreSQL %i', (major) => {
  let place: Place;
  const reach = (parameters: Readonly<Record<string, string>>, environment = {}): Promise<string> =>
    login(urlOf(place, parameters), environment);

  beforeAll(async () => {
    place = await startWithTls(major);
  });
  afterAll(() => place.cluster[Symbol.asyncDispose]());

  it('accepts a server whose certificate fits host and authority', async () => {
    const sslrootcert = place.authority.certificate;
    expect(await reach({ sslmode: 'verify-full', sslrootcert })).toMatch(/^\d+$/);
  });

  it('refuses another host name, unless only the authority matters', async () => {
    const other = { sslrootcert: place.authority.certificate, host: 'other.example' };
    await expect(reach({ ...other, sslmode: 'verify-full' })).rejects.toMatchObject({
      code: 'SERVER_UNREACHABLE',
      message: expect.stringContaining('other.example'),
      hint: expect.stringContaining('sslrootcert'),
    });
    expect(await reach({ ...other, sslmode: 'verify-ca' })).toMatch(/^\d+$/);
  });

  it.each(['verify-ca', 'verify-full', 'require'])('refuses a strange authority (%s)', async (sslmode) => {
    const sslrootcert = place.stranger.certificate;
    await expect(reach({ sslmode, sslrootcert })).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE' });
  });

  it('refuses what the machine does not trust', async () => {
    await expect(reach({ sslrootcert: 'system' })).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE' });
  });

  it('trusts any server where nothing says whom to trust', async () => {
    expect(await reach({ sslmode: 'require' })).toMatch(/^\d+$/);
  });

  it('checks the authority whenever there is a root certificate file', async () => {
    const home = path.join(place.cluster.directory, 'home');
    await mkdir(path.join(home, '.postgresql'), { recursive: true });
    await copyFile(place.stranger.certificate, path.join(home, '.postgresql', 'root.crt'));
    await expect(reach({ sslmode: 'require' }, { HOME: home })).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE' });
  });

  it.each([{ sslmode: 'verify-full' }, { sslmode: 'require', sslrootcert: '/no/such' }])(
    'asks for the root certificate that is missing (%j)',
    async (parameters) => {
      await expect(reach(parameters)).rejects.toMatchObject({ code: 'INVALID_OPTION', hint: expect.any(String) });
    },
  );

  it('turns to the other kind of connection when pg_hba.conf wants it', async () => {
    await expect(reach({ sslmode: 'disable' })).rejects.toMatchObject({ code: 'SERVER_REFUSED' });
    expect(await reach({ sslmode: 'allow' })).toMatch(/^\d+$/);
    expect(await reach({ sslmode: 'prefer', user: 'plain' })).toMatch(/^\d+$/);
    await expect(reach({ sslmode: 'require', user: 'plain' })).rejects.toMatchObject({ code: 'SERVER_REFUSED' });
  });

  it('proves itself by a certificate', async () => {
    const { certificate, key } = await place.authority.issue('certified');
    await chmod(key, 0o600);
    const mine = { user: 'certified', sslmode: 'require', sslcert: certificate, sslkey: key };
    expect(await reach(mine)).toMatch(/^\d+$/);
    await expect(reach({ user: 'certified', sslmode: 'require' })).rejects.toMatchObject({ code: 'SERVER_REFUSED' });
    await chmod(key, 0o644);
    await expect(reach(mine)).rejects.toMatchObject({ code: 'INVALID_OPTION', hint: expect.stringContaining('chmod') });
    await expect(reach({ ...mine, sslkey: '/no/such' })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('binds SCRAM to the channel', async () => {
    const url = { user: 'scram', sslmode: 'require', password: 'sesame' };
    for (const binding of ['require', 'prefer', 'disable'])
      expect(await reach({ ...url, channel_binding: binding })).toMatch(/^\d+$/);
    await expect(reach({ ...url, channel_binding: 'require', sslmode: 'disable' })).rejects.toMatchObject({
      code: 'SERVER_REFUSED',
    });
  });

  it('keeps every view intact until the consumer is done', async () => {
    await using connection = await connectReplication(await targetOf(urlOf(place, { sslmode: 'require' })));
    const hashes = new Map<string, string>();
    const options = { label: 'x', checkpoint: 'fast', manifestChecksums: 'SHA256' } as const;
    const { manifest } = await connection.baseBackup(options, lateHashingSink(hashes));
    const expected = manifestChecksums(manifest);
    expect(expected.size).toBeGreaterThan(900);
    expect([...expected].filter(([name, sum]) => hashes.get(name) !== sum)).toEqual([]);
  });
});

describe('a server without TLS', () => {
  it('is refused where TLS is required, with what to do', async () => {
    await using cluster = await Cluster.create(18, { template: true });
    await cluster.start();
    await expect(login(`${cluster.tcpUrl}?sslmode=require`)).rejects.toMatchObject({
      code: 'SERVER_UNREACHABLE',
      message: expect.stringContaining('the server has no TLS'),
      hint: expect.stringContaining('ssl = on'),
    });
    for (const mode of ['prefer', 'allow', 'disable'])
      expect(await login(`${cluster.tcpUrl}?sslmode=${mode}`)).toMatch(/^\d+$/);
  });
});

describe.each([17, 18] as const)('direct TLS to PostgreSQL %i', (major) => {
  let place: Place;
  const direct = { sslnegotiation: 'direct', sslmode: 'verify-full' };

  beforeAll(async () => {
    // Another signature algorithm than above: the channel binding must follow it.
    place = await startWithTls(major, {
      key: ['-newkey', 'rsa:2048'],
      signing: ['-sha384'],
    });
  });
  afterAll(() => place.cluster[Symbol.asyncDispose]());

  it('accepts the right server and refuses another name', async () => {
    const sslrootcert = place.authority.certificate;
    expect(await login(urlOf(place, { ...direct, sslrootcert }))).toMatch(/^\d+$/);
    await expect(login(urlOf(place, { ...direct, sslrootcert, host: 'other.example' }))).rejects.toMatchObject({
      code: 'SERVER_UNREACHABLE',
    });
  });

  it('binds SCRAM to the channel', async () => {
    const sslrootcert = place.authority.certificate;
    const scram = { user: 'scram', password: 'sesame', channel_binding: 'require' };
    expect(await login(urlOf(place, { ...direct, ...scram, sslrootcert }))).toMatch(/^\d+$/);
  });

  it('keeps every view intact until the consumer is done', async () => {
    const url = urlOf(place, { ...direct, sslmode: 'require' });
    await using connection = await connectReplication(await targetOf(url));
    const hashes = new Map<string, string>();
    const options = { label: 'x', checkpoint: 'fast', manifestChecksums: 'SHA256' } as const;
    const { manifest } = await connection.baseBackup(options, lateHashingSink(hashes));
    expect([...manifestChecksums(manifest)].filter(([name, sum]) => hashes.get(name) !== sum)).toEqual([]);
  });
});

describe('direct TLS', () => {
  it('says that PostgreSQL 16 and older do not know it', async () => {
    const place = await startWithTls(16);
    await using cluster = place.cluster;
    expect(cluster.major).toBe(16);
    await expect(login(urlOf(place, { sslnegotiation: 'direct', sslmode: 'require' }))).rejects.toMatchObject({
      code: 'SERVER_UNREACHABLE',
      hint: expect.stringContaining('PostgreSQL 17'),
    });
  });

  it('refuses a server that speaks TLS but not PostgreSQL', async () => {
    await using cluster = await Cluster.create(18, { template: true });
    const authority = await createAuthority(cluster.directory, 'own');
    const { certificate, key } = await authority.issue(HOST);
    const server = createServer({ cert: await readFile(certificate), key: await readFile(key) });
    server.on('tlsClientError', () => undefined);
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    try {
      const url = `postgresql://postgres@127.0.0.1:${port}/?sslmode=require&sslnegotiation=direct`;
      await expect(login(url)).rejects.toMatchObject({
        code: 'SERVER_UNREACHABLE',
        message: expect.stringContaining('does not speak PostgreSQL'),
      });
    } finally {
      server.close();
    }
  });
});
