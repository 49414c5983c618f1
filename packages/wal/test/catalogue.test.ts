import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { formatLsn, type Lsn, parseLsn } from '@keyframe/contracts';
import { announcedSeed, Cluster, needs, postgresMajors, Random } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { beginCatalogue, resumeCatalogue } from '../src/catalogue/begin.ts';
import type { CatalogueState } from '../src/catalogue/catalogue-state.ts';
import { Tracker } from '../src/catalogue/tracker.ts';
import type { CatalogueFiles, CatalogueTracker, DecodedRecord, RelationId, SegmentIndex } from '../src/index.ts';
import { createWalLens } from '../src/lens/wal-lens.ts';
import { RandomDdl, type Truth } from './catalogue-ddl.ts';
import { segmentsOf } from './waldump.ts';

const SEGMENT = 16 << 20;
const PIECE = 1 << 20;

/** Looks at a tracker each time the WAL has come to a place of which the truth is known, and goes on from a snapshot. */
class Watched implements CatalogueTracker {
  readonly mismatches: string[] = [];
  compared = 0;
  #tracker: Tracker;
  readonly #truths: Truth[];
  /** Of trackers before: each one counts on from 0. */
  #generations = 0;

  constructor(tracker: CatalogueTracker, truths: readonly Truth[]) {
    if (!(tracker instanceof Tracker)) throw new Error('another tracker than the one that is tested');
    this.#tracker = tracker;
    this.#truths = [...truths];
  }

  get generation(): number {
    return this.#generations + this.#tracker.generation;
  }

  wants(relation: RelationId): boolean {
    return this.#tracker.wants(relation);
  }

  apply(record: DecodedRecord): void {
    this.compareUntil(record.lsn);
    this.#tracker.apply(record);
  }

  compareUntil(position: Lsn): void {
    while ((this.#truths[0]?.lsn ?? position + 1n) <= position) {
      const truth = this.#truths.shift();
      if (truth === undefined) return;
      this.compared += 1;
      const mine = relationsOf(this.#tracker.state, truth.database);
      const theirs = truth.rows.split('\n');
      const wrong = [...new Set(mine).symmetricDifference(new Set(theirs))];
      if (wrong.length > 0) this.mismatches.push(`${truth.database} at ${formatLsn(truth.lsn)}: ${wrong.join(', ')}`);
      if (this.compared % 3 > 0) continue;
      this.#generations += this.#tracker.generation;
      const resumed = resumeCatalogue(this.#tracker.snapshot());
      if (resumed instanceof Tracker) this.#tracker = resumed;
    }
  }

  endSegment(index: SegmentIndex): Uint8Array | undefined {
    return this.#tracker.endSegment(index);
  }

  snapshot(): Uint8Array {
    return this.#tracker.snapshot();
  }
}

function relationsOf(state: CatalogueState, name: string): string[] {
  const oid = [...state.databaseNames].find(([, each]) => each === name)?.[0] ?? 0;
  const database = state.databases.get(oid);
  const lines: string[] = [];
  for (const row of database?.classes.values() ?? []) {
    const schema = database?.schemas.get(row.namespace) ?? '?';
    if (/^pg_(?:toast_)?temp_/.test(schema)) continue;
    lines.push([row.oid, row.relfilenode, `${schema}.${row.name}`, row.kind, row.toast, row.persistence].join('|'));
  }
  return lines;
}

function filesIn(directory: string): CatalogueFiles {
  return {
    async read(isWanted) {
      const found = new Map<string, Uint8Array>();
      const walk = async (below: string): Promise<void> => {
        for (const entry of await readdir(path.join(directory, below), { withFileTypes: true })) {
          const name = below === '' ? entry.name : `${below}/${entry.name}`;
          if (!entry.isFile()) await walk(name);
          else if (isWanted(name)) found.set(name, await readFile(path.join(directory, name)));
        }
      };
      await walk('');
      return found;
    },
  };
}

const SETTINGS = {
  wal_keep_size: '2GB',
  max_prepared_transactions: 10,
  autovacuum_naptime: '1s',
  checkpoint_timeout: '30s',
  shared_buffers: '16MB',
} as const;

describe.each(postgresMajors([14, 18]))('PostgreSQL %i', (major) => {
  test('relations are called as the server called them, whatever was done to its catalogues', async (context) => {
    await needs(context, `postgres-${major}`);
    const random = new Random(announcedSeed(`catalogue ${major}`));
    const settings = { ...SETTINGS, wal_level: random.pick(['replica', 'logical']) };
    await using cluster = await Cluster.create(major, { template: true, settings });
    await cluster.start();
    const ddl = new RandomDdl(cluster, random);
    await ddl.begin();
    for (let step = 0; step < 4; step++) await ddl.step(8);
    const base = path.join(cluster.directory, 'base');
    const mapping = `${ddl.tablespaceDirectory}=${base}-elsewhere`;
    const backup = cluster.exec('pg_basebackup', ['-D', base, '-X', 'none', '-c', 'fast', '-T', mapping]);
    for (let step = 0; step < 3; step++) await ddl.step(6);
    await backup;
    const truths: Truth[] = [];
    for (let step = 0; step < 12; step++) {
      await ddl.step(6);
      truths.push(...(await ddl.truth()));
    }
    await cluster.sql('select pg_switch_wal()');

    const label = await readFile(path.join(base, 'backup_label'), 'utf8');
    const start = parseLsn(/START WAL LOCATION: (\S+)/.exec(label)?.[1] ?? '');
    const watched = new Watched(await beginCatalogue(major, filesIn(base)), truths);
    const lens = createWalLens({ segmentSizeBytes: SEGMENT, tracker: watched });
    for (const segment of await segmentsOf(path.join(cluster.data, 'pg_wal'), SEGMENT)) {
      const end = (segment.start + BigInt(SEGMENT)) as Lsn;
      if (end <= start) continue;
      for (let at = 0; at < SEGMENT; at += PIECE) {
        const piece = segment.bytes.subarray(at, at + PIECE);
        lens.read(piece, { timeline: 1, start: (segment.start + BigInt(at)) as Lsn, more: at + PIECE < SEGMENT });
      }
    }
    watched.compareUntil(truths.at(-1)?.lsn ?? (0n as Lsn));
    expect(watched.mismatches).toEqual([]);
    expect(watched.compared).toBeGreaterThan(8);
  });
});
