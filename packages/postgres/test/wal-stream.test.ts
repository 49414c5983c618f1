import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatLsn, type Lsn, lsn, parseLsn, segmentNameAt } from '@keyframe/contracts';
import { allMajors, Cluster } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectReplication, connectSql, readSlotState, type WalStream, type WalStreamSink } from '../src/index.ts';
import { targetOf } from './replication-helpers.ts';

const SEGMENT_BYTES = 16 << 20;

/** Gathers a stream, and stops it at an LSN. */
class Gatherer implements WalStreamSink {
  readonly start: Lsn;
  readonly pieces: Buffer[] = [];
  position: bigint;
  replies = 0;
  stream: WalStream | undefined;
  stopAt: bigint;

  constructor(start: Lsn, stopAt: bigint) {
    this.start = start;
    this.position = start;
    this.stopAt = stopAt;
  }

  begin(stream: WalStream): void {
    this.stream = stream;
  }

  wal(view: Uint8Array, at: Lsn): void | Promise<void> {
    if (at !== this.position) throw new Error(`WAL came at ${formatLsn(at)}, not at ${this.position}`);
    this.pieces.push(Buffer.from(view));
    this.position += BigInt(view.length);
    if (this.position >= this.stopAt) this.stream?.stop();
    // Every now and then the reader makes the server wait.
    return this.pieces.length % 16 === 0 ? sleep(1) : undefined;
  }

  keepalive(_end: Lsn, replyRequested: boolean): void {
    if (replyRequested) this.replies += 1;
  }

  get content(): Buffer {
    return Buffer.concat(this.pieces);
  }
}

describe.each(allMajors)('WAL streamed by PostgreSQL %i', (major) => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await Cluster.create(major, { template: true, settings: { autovacuum: false, wal_keep_size: '1GB' } });
    await cluster.start();
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  it('is what lies in pg_wal, and what is reported as flushed moves the slot', async () => {
    await using connection = await connectReplication(await targetOf(cluster.url));
    const { timeline } = await connection.identifySystem();
    await connection.createSlot('whole');
    await using sql = await connectSql(await targetOf(cluster.url)).then((session) =>
      Object.assign(session, { [Symbol.asyncDispose]: () => session.close() }),
    );
    const slot = await readSlotState(sql, 'whole');
    expect(slot).toMatchObject({ physical: true, active: false, walStatus: 'reserved' });
    const known = { restartLsn: slot?.restartLsn, restartTimeline: timeline };
    expect(major < 15 ? known : await connection.readSlot('whole')).toEqual(known);
    expect(await readSlotState(sql, 'none')).toBeUndefined();
    await cluster.sql(`create table heap as select x, repeat('x', 500) from generate_series(1, 50000) x`);
    const end = parseLsn(await cluster.sql('select pg_switch_wal()'));
    const start = lsn(((slot?.restartLsn ?? 0n) / BigInt(SEGMENT_BYTES)) * BigInt(SEGMENT_BYTES));
    const stopAt = (end / BigInt(SEGMENT_BYTES) + 1n) * BigInt(SEGMENT_BYTES);
    const gatherer = new Gatherer(start, stopAt);
    const streaming = connection.streamWal({ slot: 'whole', start, timeline }, gatherer);
    while (gatherer.position < stopAt) await sleep(5);
    expect(await streaming).toBeUndefined();
    const { content } = gatherer;
    expect(content.length).toBeGreaterThan(SEGMENT_BYTES);
    for (let at = 0; at + SEGMENT_BYTES <= content.length; at += SEGMENT_BYTES) {
      const name = segmentNameAt(timeline, lsn(start + BigInt(at)), SEGMENT_BYTES);
      const file = await readFile(path.join(cluster.data, 'pg_wal', name));
      expect(content.subarray(at, at + SEGMENT_BYTES).equals(file)).toBe(true);
    }
    // The same connection goes on, and the slot follows what is reported.
    const again = new Gatherer(lsn(gatherer.position), gatherer.position + 1n);
    const second = connection.streamWal({ slot: 'whole', start: again.start, timeline }, again);
    while (again.stream === undefined) await sleep(5);
    again.stream.report({ write: again.start, flush: again.start, apply: lsn(0n) });
    await cluster.sql('select pg_switch_wal(); select pg_logical_emit_message(false, $$x$$, $$y$$)');
    await second;
    expect(formatLsn((await readSlotState(sql, 'whole'))?.restartLsn ?? lsn(0n))).toBe(formatLsn(again.start));
  });

  it('is refused from where it is gone, for a name that is none, and twice at once', async () => {
    await using connection = await connectReplication(await targetOf(cluster.url));
    const { timeline } = await connection.identifySystem();
    const nothing = new Gatherer(lsn(0n), 0n);
    await connection.createSlot('busy');
    const missing = connection.streamWal({ slot: 'missing', start: lsn(0n), timeline }, nothing);
    await expect(missing).rejects.toMatchObject({ code: 'SERVER_ERROR', details: { sqlstate: '42704' } });
    const gone = connection.streamWal({ slot: 'busy', start: lsn(0n), timeline: 1 }, nothing);
    await expect(gone).rejects.toMatchObject({ code: 'SERVER_ERROR', details: { sqlstate: '58P01' } });
    await expect(connection.createSlot('No Slot')).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await using other = await connectReplication(await targetOf(cluster.url));
    const { lsn: now } = await other.identifySystem();
    const stop = new AbortController();
    const holder = new Gatherer(now, now + 1_000_000_000n);
    const held = other.streamWal({ slot: 'busy', start: now, timeline, signal: stop.signal }, holder);
    while (holder.stream === undefined) await sleep(5);
    await using third = await connectReplication(await targetOf(cluster.url));
    const refused = third.streamWal({ slot: 'busy', start: now, timeline }, nothing);
    await expect(refused).rejects.toMatchObject({ code: 'SERVER_ERROR', details: { sqlstate: '55006' } });
    stop.abort(new Error('enough'));
    await expect(held).rejects.toThrow('enough');
  });

  // What lies between behaves as these two.
  it.runIf(major === 14 || major === 18)('ends where its timeline does, and tells the next one', async () => {
    const data = path.join(cluster.directory, 'standby');
    await cluster.exec('pg_basebackup', ['-D', data, '-R', '-c', 'fast']);
    await using standby = await Cluster.attach(data);
    await standby.start();
    await cluster.sql('create table before_switch (x int)');
    await standby.sql('select pg_promote()');
    await standby.waitPromoted();
    await standby.sql('create table after_switch (x int); select pg_switch_wal()');
    await using connection = await connectReplication(await targetOf(standby.url));
    const { timeline } = await connection.identifySystem();
    expect(timeline).toBe(2);
    const history = (await connection.timelineHistory(2)).content.toString();
    const [, switchText = ''] = /^1\t(\S+)\t/.exec(history) ?? [];
    const switchLsn = parseLsn(switchText);
    await connection.createSlot('follow');
    const start = lsn((switchLsn / BigInt(SEGMENT_BYTES)) * BigInt(SEGMENT_BYTES));
    const gatherer = new Gatherer(start, 1n << 62n);
    const next = await connection.streamWal({ slot: 'follow', start, timeline: 1 }, gatherer);
    expect(next).toEqual({ timeline: 2, lsn: switchLsn });
    expect(gatherer.position).toBe(switchLsn);
    const empty = new Gatherer(switchLsn, 1n << 62n);
    const once = await connection.streamWal({ slot: 'follow', start: switchLsn, timeline: 1 }, empty);
    expect(once).toEqual({ timeline: 2, lsn: switchLsn });
    expect(empty.stream).toBeUndefined();
  });
});
