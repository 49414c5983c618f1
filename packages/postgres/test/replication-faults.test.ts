/** What happens to a base backup when the server, the network or the consumer fails, and when the consumer is slow. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from '@keyframe/testkit/postgres';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type BaseBackupOptions,
  type BaseBackupSink,
  connectReplication,
  type ReplicationConnection,
} from '../src/index.ts';
import { flipByte, lateHashingSink, manifestChecksums, targetOf } from './replication-helpers.ts';

const FAST: BaseBackupOptions = { label: 'x', checkpoint: 'fast' };
const TABLE_BYTES = 100_000_000;

/** Calls `action` once, when this much content has come. */
function after(bytes: number, action: () => void | Promise<void>): BaseBackupSink & { seen: number } {
  let called = false;
  const sink = {
    seen: 0,
    entry: () => undefined,
    bytes: (view: Uint8Array): void | Promise<void> => {
      sink.seen += view.length;
      if (called || sink.seen < bytes) return undefined;
      called = true;
      return action();
    },
    end: () => undefined,
  };
  return sink;
}

describe('a base backup', () => {
  let cluster: Cluster;
  const connections: ReplicationConnection[] = [];
  const connect = async (url = cluster.tcpUrl): Promise<ReplicationConnection> => {
    const connection = await connectReplication(await targetOf(url));
    connections.push(connection);
    return connection;
  };
  const walsenders = (): Promise<string> =>
    cluster.sql(`select count(*) from pg_stat_activity where backend_type = 'walsender'`);
  /** The server notices within a moment that its client has gone. */
  const expectNoWalsender = async (): Promise<void> => {
    for (let tries = 0; tries < 100 && (await walsenders()) !== '0'; tries += 1) await sleep(20);
    expect(await walsenders()).toBe('0');
  };

  beforeAll(async () => {
    cluster = await Cluster.create(18, {
      template: true,
      settings: { autovacuum: false, checkpoint_timeout: '1h', max_wal_size: '4GB' },
    });
    await cluster.start();
    await cluster.sql(`
      create table big as select x, repeat('z', 950) from generate_series(1, ${TABLE_BYTES / 1000}) x;
      create table small as select generate_series(1, 10000) x`);
  });
  afterEach(async () => {
    for (const connection of connections.splice(0)) await connection.close();
    if (cluster.pid === undefined) await cluster.start();
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  it('ends in SERVER_UNREACHABLE when the server is killed', async () => {
    const connection = await connect();
    await expect(
      connection.baseBackup(
        FAST,
        after(20_000_000, () => cluster.kill9()),
      ),
    ).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE', hint: expect.any(String) });
    await expect(connection.identifySystem()).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE' });
  });

  it.each(['fast', 'immediate'] as const)('ends in SERVER_UNREACHABLE at a shutdown (%s)', async (mode) => {
    const connection = await connect();
    const sink = after(20_000_000, () => cluster.stop(mode));
    await expect(connection.baseBackup(FAST, sink)).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE' });
  });

  it('ends with the reason of an abort, at once, even while the consumer hangs', async () => {
    const connection = await connect();
    const controller = new AbortController();
    const reason = new Error('enough');
    const sink = after(10_000_000, () => {
      setTimeout(() => controller.abort(reason), 10);
      return new Promise(() => undefined);
    });
    await expect(connection.baseBackup({ ...FAST, signal: controller.signal }, sink)).rejects.toBe(reason);
    await expectNoWalsender();
  });

  it('calls the consumer no more once aborted', async () => {
    const connection = await connect();
    const controller = new AbortController();
    let release: (() => void) | undefined;
    const sink = after(10_000_000, () => {
      controller.abort();
      return new Promise((resolve) => (release = resolve));
    });
    await expect(connection.baseBackup({ ...FAST, signal: controller.signal }, sink)).rejects.toMatchObject({
      name: 'AbortError',
    });
    const { seen } = sink;
    release?.();
    await sleep(20);
    expect(sink.seen).toBe(seen);
  });

  it('stops the server when aborted before the first byte', async () => {
    // Work for a checkpoint that is spread over most of an hour.
    await cluster.sql('update small set x = x + 1');
    const connection = await connect();
    const options = { label: 'x', checkpoint: 'spread', signal: AbortSignal.timeout(300) } as const;
    const backup = connection.baseBackup(options, lateHashingSink(new Map()));
    await expect(backup).rejects.toMatchObject({ name: 'TimeoutError' });
    await expectNoWalsender();
    await cluster.sql('checkpoint');
  });

  it('does nothing when aborted beforehand', async () => {
    const connection = await connect();
    const signal = AbortSignal.abort(new Error('no'));
    await expect(connection.baseBackup({ ...FAST, signal }, lateHashingSink(new Map()))).rejects.toBe(signal.reason);
    expect((await connection.identifySystem()).timeline).toBe(1);
  });

  it.each([
    [
      'throws',
      (): void => {
        throw new Error('full');
      },
    ],
    ['rejects', (): Promise<void> => setImmediate().then(() => Promise.reject(new Error('full')))],
  ] as const)('ends with what the consumer %s', async (_name, fault) => {
    const connection = await connect();
    await expect(connection.baseBackup(FAST, after(5_000_000, fault))).rejects.toThrow('full');
    await expect(connection.identifySystem()).rejects.toThrow('full');
    await expectNoWalsender();
  });

  it.each(['tcp', 'unix'] as const)('keeps every view intact until the consumer is done (%s)', async (kind) => {
    const connection = await connect(kind === 'tcp' ? cluster.tcpUrl : cluster.url);
    const hashes = new Map<string, string>();
    const { manifest } = await connection.baseBackup({ ...FAST, manifestChecksums: 'SHA256' }, lateHashingSink(hashes));
    const expected = manifestChecksums(manifest);
    expect(expected.size).toBeGreaterThan(900);
    expect([...expected].filter(([name, sum]) => hashes.get(name) !== sum)).toEqual([]);
  });

  it('reads nothing while the consumer waits', async () => {
    const connection = await connect();
    const before = process.memoryUsage();
    let grown = 0;
    const sink = after(30_000_000, async () => {
      const { seen } = sink;
      await sleep(700);
      const now = process.memoryUsage();
      grown = now.external + now.heapUsed - before.external - before.heapUsed;
      expect(sink.seen).toBe(seen);
    });
    await connection.baseBackup(FAST, sink);
    expect(sink.seen).toBeGreaterThan(TABLE_BYTES);
    // 70 MB were still to come.
    expect(grown).toBeLessThan(32_000_000);
  });

  it('runs one command at a time', async () => {
    const connection = await connect();
    const running = connection.identifySystem();
    await expect(connection.show('port')).rejects.toMatchObject({ code: 'INTERNAL' });
    expect((await running).timeline).toBe(1);
    expect(await connection.show('port')).toBe(String(cluster.port));
  });

  it('refuses commands once closed', async () => {
    const connection = await connect();
    await connection.close();
    await connection.close();
    await expect(connection.show('port')).rejects.toMatchObject({ code: 'INTERNAL' });
    await expectNoWalsender();
  });

  it.each(["x'; drop", 'a b', '', '1'])('refuses the setting name %j', async (name) => {
    await expect((await connect()).show(name)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('survives an error of the server', async () => {
    const connection = await connect();
    await expect(connection.show('no_such_setting')).rejects.toMatchObject({
      code: 'SERVER_ERROR',
      details: { sqlstate: '42704', severity: 'ERROR' },
    });
    await expect(connection.timelineHistory(77)).rejects.toMatchObject({ details: { sqlstate: '58P01' } });
    await expect(connection.timelineHistory(0)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect((await connection.identifySystem()).timeline).toBe(1);
  });

  it('reports a page that the server finds damaged', async () => {
    const file = await cluster.sql(`checkpoint; select pg_relation_filepath('small')`);
    await cluster.stop();
    await flipByte(path.join(cluster.data, file), 5000);
    await cluster.start();
    const connection = await connect();
    await expect(
      connection.baseBackup(
        FAST,
        after(1, () => undefined),
      ),
    ).rejects.toMatchObject({
      code: 'SERVER_ERROR',
      details: { sqlstate: 'XX001' },
    });
    const trusting = { ...FAST, verifyChecksums: false };
    const { stopLsn } = await connection.baseBackup(
      trusting,
      after(1, () => undefined),
    );
    expect(stopLsn).toBeGreaterThan(0n);
  });
});

describe('timelineHistory', () => {
  it.each([14, 18] as const)('gives the file of PostgreSQL %i byte for byte', async (major) => {
    await using cluster = await Cluster.create(major, { template: true });
    await cluster.start();
    await cluster.stop();
    await writeFile(path.join(cluster.data, 'standby.signal'), '');
    await cluster.start();
    await cluster.sql('select pg_promote()');
    await using connection = await connectReplication(await targetOf(cluster.url));
    const { timeline } = await connection.identifySystem();
    const { name, content } = await connection.timelineHistory(timeline);
    expect([timeline, name]).toEqual([2, '00000002.history']);
    expect(content).toEqual(await readFile(path.join(cluster.data, 'pg_wal', name)));
  });
});
