import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lsn, segmentName } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { applyExpiry, holderState, openMemory, rebuild, thisProcess, verify } from '@keyframe/engine';
import { type BackupRecord, type EpochArchive, openRepository, type Repository } from '@keyframe/repository';
import storeFs from '@keyframe/store-fs';
import { testHost } from '@keyframe/testkit';
import { announcedSeed, Random } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { reportOf, spawnKeyframe } from './support/keyframe.ts';

const SYSTEM = '7400000000000000001';
const SEGMENT_BYTES = 1 << 20;
const FILES = ['base/1/1', 'base/1/2', 'base/1/3', 'base/1/4'];
const FILE_BYTES = 400_000;
const ROUNDS = 6;
/** Small packs: a removal takes a while. */
const TUNING = { packBytes: 8000, bundlePackBytes: 8000, bundleLimitBytes: 100 };
const COPY = {
  id: 'none',
  compress: async (frame: Uint8Array) => frame,
  decompress: async (frame: Uint8Array) => frame,
};

let home: string;
let kept: BackupRecord;
const gone: string[] = [];
const content = new Map<string, Buffer>();

function openAt(directory: string): Repository {
  const store = storeFs.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, testHost());
  return openRepository({ store, compressor: COPY, compressors: [], now: () => new Date(), tuning: TUNING });
}

/** Takes a backup at a segment of its own; with `parent` an increment that keeps half of each file. */
async function take(archive: EpochArchive, number: number, parent?: BackupRecord): Promise<BackupRecord> {
  const facts = { systemIdentifier: SYSTEM, timeline: 1, segmentSizeBytes: SEGMENT_BYTES };
  const name = segmentName(1, BigInt(number), SEGMENT_BYTES);
  await archive.wal.put({ name, content: bytesOf(randomBytes(SEGMENT_BYTES)), facts });
  const base = parent && (await archive.backups.base(parent));
  const writer = await archive.backups.begin(
    {
      type: parent === undefined ? 'full' : 'incremental',
      method: 'stream',
      ...(parent && { parent: parent.label }),
      holder: await thisProcess('test'),
      tool: 'test',
    },
    { base },
  );
  for (const path of FILES) {
    const before = await base?.find(path);
    const sink = writer.file({ path, mode: 0o600, modifiedAtSeconds: 1, sizeBytes: FILE_BYTES }, before);
    const bytes = randomBytes(FILE_BYTES);
    if (before !== undefined) content.get(path)?.copy(bytes, 0, 0, FILE_BYTES / 2);
    const half = before === undefined ? 0 : FILE_BYTES / 2;
    if (half > 0) await sink.keep(half, bytes.subarray(0, half));
    await sink.write(bytes.subarray(half));
    await sink.end();
    content.set(path, bytes);
  }
  const start = BigInt(number * SEGMENT_BYTES);
  const at = new Date().toISOString();
  return writer.publish(
    await writer.finish({
      postgresVersion: 180_006,
      timeline: 1,
      startLsn: lsn(start + 40n),
      stopLsn: lsn(start + 400n),
      stopTimeline: 1,
      startedAt: at,
      stoppedAt: at,
      walSegmentSizeBytes: SEGMENT_BYTES,
      dataChecksums: true,
      tablespaces: [],
      backupLabel: '',
      serverManifest: Buffer.from('{}'),
    }),
  );
}

async function configFor(directory: string): Promise<string> {
  const file = `${directory}.yaml`;
  const lines = [
    `state: ${JSON.stringify(join(home, 'state'))}`,
    'clusters:',
    '  main:',
    "    source: { url: 'postgresql://nobody@127.0.0.1:1/none' }",
    '    repository: vault',
    'repositories:',
    '  vault:',
    `    stores: [{ use: fs, directory: ${JSON.stringify(directory)} }]`,
    '    retention: { count: 1, grace: 1s }',
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'kf-kills-'));
  const directory = join(home, 'origin');
  const repository = openAt(directory);
  await repository.init();
  const archive = await repository.cluster('main').create({ systemIdentifier: SYSTEM, postgresVersion: 180_006 });
  const first = await take(archive, 1);
  const second = await take(archive, 2, first);
  kept = await take(archive, 3, second);
  gone.push(first.label, second.label);
  // The marks are a grace period old when the first copy is made.
  const config = await configFor(directory);
  reportOf(await spawnKeyframe(['--config', config, '--json', 'expire']).ended, 'expire');
  await sleep(1100);
}, 60_000);
afterAll(() => rm(home, { recursive: true, force: true }));

/** What must hold whenever a removal was killed, and when it is done. */
async function assertHolds(directory: string): Promise<void> {
  const repository = openAt(directory);
  const history = repository.cluster('main');
  const archive = await history.at(1);
  expect((await archive.backups.list()).map(({ label }) => label)).toEqual([kept.label]);
  const memory = await openMemory(`${directory}.verified`);
  expect((await verify({ history, memory, now: () => new Date() }, {})).findings).toEqual([]);
  const restored = new Map(FILES.map((path) => [path, Buffer.alloc(FILE_BYTES)]));
  await archive.backups.read(kept, {
    entry: () => undefined,
    write: ({ path }, offset, bytes) => restored.get(path)?.set(bytes, offset),
    done: () => undefined,
  });
  for (const path of FILES) expect(restored.get(path)?.equals(content.get(path) ?? Buffer.alloc(0))).toBe(true);
  const { backups } = await rebuild({ repository, history }, { apply: true });
  expect(backups.filter(({ outcome }) => outcome !== 'left-out')).toEqual([]);
}

async function objectsOf(directory: string, label: string): Promise<string[]> {
  const found = await readdir(join(directory, 'clusters/main/1/backups', label)).catch(() => []);
  return found;
}

test(`an expiry that is killed while it removes, ${ROUNDS} times, loses nothing that is kept, and the next one ends it`, async () => {
  const random = new Random(announcedSeed('kills of expiries'));
  let partly = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const directory = join(home, `round-${round}`);
    // The store's own times count for the grace period.
    await cp(join(home, 'origin'), directory, { recursive: true, preserveTimestamps: true });
    const running = spawnKeyframe(['--config', await configFor(directory), '--json', 'expire']);
    const [first = ''] = gone;
    const record = join(directory, 'clusters/main/1/backups', first, 'backup.json');
    const before = (await objectsOf(directory, first)).length;
    // The record goes first of all; packs and intents follow.
    while (existsSync(record) && running.child.exitCode === null) await sleep(1);
    await sleep(random.between(0, 25));
    running.child.kill('SIGKILL');
    await running.ended;
    const left = (await objectsOf(directory, first)).length;
    if (left > 0 && left < before) partly += 1;
    await assertHolds(directory);

    const repository = openAt(directory);
    const context = { repository, history: repository.cluster('main'), clusterName: 'main', now: () => new Date() };
    const holder = await thisProcess('keyframe expire');
    const policy = { count: 1, graceMs: 1000, wal: 'window' } as const;
    await applyExpiry({ ...context, holder, stateOf: holderState }, policy);
    for (const label of gone)
      expect((await objectsOf(directory, label)).filter((name) => !name.startsWith('pack-'))).toEqual([]);
    await assertHolds(directory);
    await rm(directory, { recursive: true });
  }
  // Else it was killed before or after, and proved little.
  expect(partly).toBeGreaterThan(0);
}, 240_000);
