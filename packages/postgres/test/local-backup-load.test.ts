/** A data directory read by several workers while the server writes to it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from '@keyframe/testkit/postgres';
import { describe, expect, it } from 'vitest';
import {
  connectSql,
  createPageInspector,
  type LocalBackup,
  type LocalEntry,
  openLocalBackup,
  openLocalFile,
  PAGE,
  parseRelationPath,
} from '../src/index.ts';
import { targetOf } from './replication-helpers.ts';

const BLOCK = 8192;
const PIECE = 32 * BLOCK;
const WORKERS = 4;
/** Torn at one look, a page may be torn at the next one as well, but not for ever. */
const LOOKS = 100;

interface Tally {
  pages: number;
  suspects: number;
  damaged: string[];
}

async function readEntry(entry: LocalEntry, backup: LocalBackup, tally: Tally): Promise<void> {
  const relation = parseRelationPath(entry.path);
  if (relation === undefined) return;
  await using file = await openLocalFile(entry);
  if (file === undefined) return;
  const inspector = createPageInspector();
  const piece = inspector.memory.subarray(0, PIECE);
  const states = new Uint8Array(PIECE / BLOCK);
  const { startLsn } = backup.start;
  for (let offset = 0; offset < file.entry.sizeBytes; offset += PIECE) {
    const first = offset / BLOCK;
    const bytes = await file.read(piece, offset);
    const ask = { unchangedBelow: undefined, verify: true, verifyBelow: startLsn };
    const count = bytes / BLOCK;
    inspector.inspect(piece.subarray(0, bytes), { ...ask, firstBlock: first, states });
    tally.pages += count;
    const suspects = [...states.subarray(0, count).keys()].filter((page) => states[page] === PAGE.damaged);
    tally.suspects += suspects.length;
    for (const page of suspects) {
      const one = Buffer.alloc(BLOCK);
      const state = new Uint8Array(1).fill(PAGE.damaged);
      for (let look = 0; look < LOOKS && state[0] === PAGE.damaged; look += 1) {
        // Whoever is writing it may be waiting for a processor.
        if (look > 3) await sleep(20);
        await file.read(one, offset + page * BLOCK);
        inspector.inspect(one, { ...ask, firstBlock: first + page, states: state });
      }
      if (state[0] === PAGE.damaged) tally.damaged.push(`${entry.path} ${first + page}`);
    }
  }
}

describe.each([14, 18] as const)('a backup of local files of PostgreSQL %i under load', (major) => {
  it('finds no page damaged, however often it reads', async () => {
    const settings = { shared_buffers: '1MB', bgwriter_delay: '10ms', max_wal_size: '4GB' };
    await using cluster = await Cluster.create(major, { template: true, settings });
    await cluster.start();
    await cluster.sql(`create table t (x int primary key, y text);
                       insert into t select x, repeat('y', 300) from generate_series(1, 30000) x`);
    const target = await targetOf(cluster.url);
    const stop = new AbortController();
    const work = Array.from({ length: 3 }, async (_, worker) => {
      const sql = await connectSql(target);
      for (let round = 0; !stop.signal.aborted; round += 1)
        await sql.query(`update t set y = md5($1) || repeat('z', 200) where x % 150 = $2`, [
          String(round),
          // Rows of its own: else two of them may wait for each other.
          (round % 50) * 3 + worker,
        ]);
      await sql.close();
    });
    const tally: Tally = { pages: 0, suspects: 0, damaged: [] };
    await sleep(200);
    for (let round = 0; round < 3; round += 1) {
      await using backup = await openLocalBackup(target, cluster.data, { label: 'load', checkpoint: 'fast' });
      const entries = backup.entries()[Symbol.asyncIterator]();
      const workers = Array.from({ length: WORKERS }, async () => {
        for (let next = await entries.next(); next.done !== true; next = await entries.next())
          await readEntry(next.value, backup, tally);
      });
      await Promise.all(workers);
      await backup.stop();
    }
    stop.abort();
    await Promise.all(work);
    expect(tally.damaged).toEqual([]);
    expect(tally.pages).toBeGreaterThan(3 * 3000);
  });
});
