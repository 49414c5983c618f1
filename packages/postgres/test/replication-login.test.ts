/** Whom a replication connection reaches, and how it proves who it is. */
import { writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { Cluster, freePort, type Major, postgresMajors } from '@keyframe/testkit/postgres';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectReplication } from '../src/index.ts';
import { login, targetOf } from './replication-helpers.ts';

/** 'pässwörd' with a no-break space: the server normalises it to a blank. */
const ODD_PASSWORD = 'p\u00E4ss\u00A0w\u00F6rd';
const HBA = `
local replication all                  trust
local all         all                  trust
host  replication scram   127.0.0.1/32 scram-sha-256
host  replication odd     127.0.0.1/32 scram-sha-256
host  replication old     127.0.0.1/32 md5
host  replication clear   127.0.0.1/32 password
host  replication norole  127.0.0.1/32 trust
host  replication postgres 127.0.0.1/32 trust
`;

async function startWithRoles(major: Major): Promise<Cluster> {
  const cluster = await Cluster.create(major, { template: true });
  await writeFile(path.join(cluster.data, 'pg_hba.conf'), HBA);
  await cluster.start();
  await cluster.sql(`
    create role scram login replication password 'sesame';
    create role odd login replication password '${ODD_PASSWORD}';
    create role clear login replication password 'sesame';
    create role norole login;
    create role nobody login replication;
    set password_encryption = 'md5';
    create role old login replication password 'sesame'`);
  return cluster;
}

describe.each(postgresMajors([14, 18]))('logging in to PostgreSQL %i', (major) => {
  let cluster: Cluster;
  const url = (user: string, password = ''): string =>
    `postgresql://${user}${password === '' ? '' : `:${encodeURIComponent(password)}`}@127.0.0.1:${cluster.port}/`;

  beforeAll(async () => {
    cluster = await startWithRoles(major);
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  it.each([
    ['scram', 'sesame'],
    ['odd', ODD_PASSWORD],
    ['odd', ODD_PASSWORD.replace('\u00A0', ' ')],
    ['old', 'sesame'],
    ['clear', 'sesame'],
  ])('lets %s in with the right password', async (user, password) => {
    expect(await login(url(user, password))).toMatch(/^\d{18,20}$/);
  });

  it.each(['scram', 'old', 'clear'])('says that the password of %s is wrong, once', async (user) => {
    const error = await login(url(user, 'wrong')).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'SERVER_REFUSED',
      message: expect.stringContaining(`password authentication failed for user "${user}"`),
      hint: expect.stringContaining('.pgpass'),
      details: { sqlstate: '28P01', server: `127.0.0.1:${cluster.port}` },
    });
    expect(JSON.stringify(error)).not.toContain('wrong');
  });

  it('says that a password is needed', async () => {
    await expect(login(url('scram'))).rejects.toMatchObject({ code: 'SERVER_REFUSED', hint: expect.any(String) });
  });

  it('takes the password from the password file, first for replication', async () => {
    const file = path.join(cluster.directory, 'pgpass');
    const lines = [`127.0.0.1:${cluster.port}:replication:scram:sesame`, '*:*:*:*:wrong'];
    await writeFile(file, lines.join('\n'), { mode: 0o600 });
    expect(await login(url('scram'), { PGPASSFILE: file })).toMatch(/^\d+$/);
  });

  it('quotes the server when pg_hba.conf has no line', async () => {
    await expect(login(url('nobody'))).rejects.toMatchObject({
      code: 'SERVER_REFUSED',
      message: expect.stringContaining('no pg_hba.conf entry for replication connection'),
      hint: expect.stringContaining('keyframe setup'),
    });
  });

  it('says that the role lacks the right', async () => {
    await expect(login(url('norole'))).rejects.toMatchObject({
      code: 'SERVER_REFUSED',
      hint: expect.stringContaining('alter role norole replication'),
      details: { sqlstate: '42501' },
    });
  });

  it('refuses whatever is not bound to a channel when that is required', async () => {
    for (const user of ['scram', 'old', 'clear', 'postgres'])
      await expect(login(`${url(user, 'sesame')}?channel_binding=require`)).rejects.toMatchObject({
        code: 'SERVER_REFUSED',
        message: expect.stringContaining('channel binding'),
      });
  });

  it('goes through the unix socket, by parameter or in place of a host', async () => {
    const directory = encodeURIComponent(cluster.socketDirectory);
    const ids = [
      await login(`postgresql://postgres@/?host=${directory}&port=${cluster.port}`),
      await login(`postgresql://postgres@${directory}:${cluster.port}/`),
      await login(`host=${cluster.socketDirectory} port=${cluster.port} user=postgres sslmode=verify-full`),
      await login('postgresql://', { PGHOST: cluster.socketDirectory, PGPORT: `${cluster.port}`, PGUSER: 'postgres' }),
    ];
    expect(new Set(ids).size).toBe(1);
  });

  it('passes on the name of the application and options', async () => {
    const more = '?application_name=kf-test&options=-c%20work_mem%3D123kB';
    await using connection = await connectReplication(await targetOf(url('postgres') + more));
    // Senders of the tests before may not have ended yet.
    const named = `backend_type = 'walsender' and application_name = 'kf-test'`;
    const count = await cluster.sql(`select count(*) from pg_stat_activity where ${named}`);
    expect([count, await connection.show('work_mem')]).toEqual(['1', '123kB']);
  });
});

describe('choosing a host', () => {
  let primary: Cluster;
  let standby: Cluster;
  let dead = 0;
  const servers: Server[] = [];
  const sockets: Socket[] = [];
  const both = (attributes: string): string =>
    `postgresql://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/?target_session_attrs=${attributes}`;
  const portOf = async (url: string): Promise<number> => {
    await using connection = await connectReplication(await targetOf(url));
    return Number(await connection.show('port'));
  };
  /** A server that does with a connection what it is told. */
  const serve = async (behave: (socket: Socket) => void): Promise<number> => {
    const port = await freePort();
    const server = createServer((socket) => {
      sockets.push(socket.on('error', () => undefined));
      behave(socket);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return port;
  };

  beforeAll(async () => {
    [primary, standby, dead] = await Promise.all([
      Cluster.create(18, { template: true }),
      Cluster.create(18, { template: true }),
      freePort(),
    ]);
    await writeFile(path.join(standby.data, 'standby.signal'), '');
    await Promise.all([primary.start(), standby.start()]);
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  });
  afterAll(async () => {
    await primary[Symbol.asyncDispose]();
    await standby[Symbol.asyncDispose]();
  });

  it('goes on to the next host when one is not there', async () => {
    expect(await portOf(`postgresql://postgres@127.0.0.1:${dead},127.0.0.1:${primary.port}/`)).toBe(primary.port);
    expect(await portOf(`postgresql://postgres@no-such-host.invalid,127.0.0.1/?port=${primary.port}`)).toBe(
      primary.port,
    );
  });

  it.each([
    ['any', 'primary'],
    ['primary', 'primary'],
    ['read-write', 'primary'],
    ['standby', 'standby'],
    ['read-only', 'standby'],
    ['prefer-standby', 'standby'],
  ] as const)('finds %s', async (attributes, expected) => {
    expect(await portOf(both(attributes))).toBe({ primary, standby }[expected].port);
  });

  it('falls back from the preferred kind', async () => {
    const url = `postgresql://postgres@127.0.0.1:${primary.port}/?target_session_attrs=prefer-standby`;
    expect(await portOf(url)).toBe(primary.port);
  });

  it('spreads over the hosts when asked to', async () => {
    const ports = new Set<number>();
    const url = both('any&load_balance_hosts=random');
    for (let tries = 0; tries < 40 && ports.size < 2; tries += 1) ports.add(await portOf(url));
    expect(ports).toEqual(new Set([primary.port, standby.port]));
  });

  it('names every place it tried and why that failed', async () => {
    const places = [`127.0.0.1:${dead}`, 'no-such-host.invalid:1', '%2Fno%2Fsuch:1', `127.0.0.1:${primary.port}`];
    await expect(
      login(`postgresql://x@${places.join(',')}/?target_session_attrs=standby&user=postgres`),
    ).rejects.toMatchObject({
      code: 'SERVER_UNREACHABLE',
      message: `cannot connect to PostgreSQL: ${[
        `127.0.0.1:${dead}: connection refused (ECONNREFUSED)`,
        'no-such-host.invalid:1: no such host (ENOTFOUND)',
        '/no/such/.s.PGSQL.1: no such socket (ENOENT)',
        `127.0.0.1:${primary.port}: it is a primary, wanted is standby (target_session_attrs)`,
      ].join('; ')}`,
      hint: expect.any(String),
    });
  });

  it('waits no longer than connect_timeout for a host that says nothing', async () => {
    const silent = await serve(() => undefined);
    const url = `postgresql://postgres@127.0.0.1:${silent}/?connect_timeout=1&sslmode=`;
    const started = performance.now();
    for (const mode of ['disable', 'prefer'])
      await expect(login(url + mode)).rejects.toMatchObject({
        code: 'SERVER_UNREACHABLE',
        message: expect.stringContaining('timed out after 1 s'),
      });
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it.each(['disable', 'require'])('ends at an abort while it waits for the server (sslmode=%s)', async (mode) => {
    const silent = await serve(() => undefined);
    const target = await targetOf(`postgresql://postgres@127.0.0.1:${silent}/?sslmode=${mode}`);
    const signal = AbortSignal.timeout(100);
    await expect(connectReplication(target, { signal })).rejects.toMatchObject({ name: 'TimeoutError' });
    await expect(connectReplication(target, { signal })).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  it.each([
    ['answers like a web server', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'SERVER_ERROR'],
    ['closes without a word', '', 'SERVER_UNREACHABLE'],
  ])('says so when the other side %s', async (_name, answer, code) => {
    const port = await serve((socket) => void socket.once('data', () => socket.end(answer)));
    await expect(login(`postgresql://postgres@127.0.0.1:${port}/?sslmode=disable`)).rejects.toMatchObject({ code });
    await expect(login(`postgresql://postgres@127.0.0.1:${port}/?sslmode=require`)).rejects.toMatchObject({
      code: 'SERVER_UNREACHABLE',
    });
  });

  it('believes nothing that was slipped in before TLS began', async () => {
    // 'S' and, in the same packet, what an attacker would like us to take for the server's own.
    const port = await serve((socket) => void socket.once('data', () => socket.write('SR\0\0\0\x08\0\0\0\0')));
    await expect(login(`postgresql://postgres@127.0.0.1:${port}/?sslmode=require`)).rejects.toMatchObject({
      code: 'SERVER_UNREACHABLE',
      message: expect.stringContaining('something else'),
    });
  });

  it('goes on to the next host while one still starts up', async () => {
    const starting = await serve((socket) => {
      socket.once('data', () => {
        const body = 'SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0';
        const length = Buffer.alloc(4);
        length.writeInt32BE(body.length + 4);
        socket.end(Buffer.concat([Buffer.from('E'), length, Buffer.from(body)]));
      });
    });
    const url = `postgresql://postgres@127.0.0.1:${starting},127.0.0.1:${primary.port}/?sslmode=disable`;
    expect(await portOf(url)).toBe(primary.port);
  });
});
