import { access, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isKeyframeError } from '@keyframe/contracts';
import { drain } from '@keyframe/contracts/streams';
import type { ManifestEntry, RestoreSink } from '@keyframe/repository';
import { announcedSeed, Cluster, needs, Random } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { damaged, damagesOf, flip } from './support/damage.ts';
import { run, SELF } from './support/keyframe.ts';
import { archiveIn, repositoryAt } from './support/repository.ts';
import type { BackupFacts } from './support/reports.ts';
import { Site } from './support/site.ts';

/** Stretches of an object in each of which a bit is flipped. */
const STRETCHES = 40;

/** What a reader of a damaged object gets: the same bytes, other bytes, or a typed error. */
type Outcome = 'same' | 'wrong' | `error ${string}`;

describe('damage', () => {
  const stack = new AsyncDisposableStack();
  const random = new Random(announcedSeed('damage'));
  const content = new Map<string, Buffer>();
  let site: Site;
  let backup: BackupFacts;
  let segment: string;

  beforeAll(async () => {
    site = stack.use(await Site.create(18, { walSegmentSizeMiB: 1 }));
    await site.origin.sql('create table t as select i, md5(i::text) from generate_series(1, 20000) i');
    backup = await site.backup();
    await site.origin.sql('create table later as select 1');
    segment = await site.archiveAll();
    const archive = await archiveIn(site.repository);
    await archive.backups.read(await archive.backups.get(backup.label), recordingSink(content));
  });
  afterAll(() => stack.disposeAsync());

  const at = (name: string): string => join(site.repository, 'clusters/main/1', name);
  const inBackup = (name: string): string => at(`backups/${backup.label}/${name}`);
  const walObject = (): string => at(`wal/${segment.slice(0, 8)}/${segment.slice(8, 16)}/${segment}`);

  const firstPack = async (): Promise<string> =>
    (await site.objects()).find((key) => key.includes('/pack-'))?.replace(/^.*\//, '') ?? 'no pack';

  /** Everything a restore reads, from the first object on. */
  const readAll = (): Promise<Outcome> =>
    outcomeOf(async () => {
      await repositoryAt(site.repository).identity();
      const { backups } = await archiveIn(site.repository);
      const [record] = await backups.list();
      if (record === undefined) throw new Error('the backup is not listed any more');
      let equal = true;
      const { plainBytes } = await backups.read(
        record,
        comparingSink(content, () => (equal = false)),
      );
      return equal && plainBytes === backup.sizeBytes;
    });

  const readSegment = (): Promise<Outcome> =>
    outcomeOf(async () => {
      const found = await (await archiveIn(site.repository)).wal.get(segment);
      if (found === undefined) throw new Error('the segment is gone');
      return (await drain(found.content)).equals(await readFile(join(site.origin.data, 'pg_wal', segment)));
    });

  /** Damages an object in every region, reads it, and gives what came of it. */
  const outcomesOf = async (
    path: string,
    read: () => Promise<Outcome>,
  ): Promise<{ what: string; outcome: Outcome }[]> => {
    const { size } = await stat(path);
    const outcomes: { what: string; outcome: Outcome }[] = [];
    for (const damage of damagesOf(size, STRETCHES, random)) {
      await using _ = await damaged(path, damage);
      outcomes.push({ what: damage.what, outcome: await read() });
    }
    expect(await read()).toBe('same');
    return outcomes;
  };

  test.each(['keyframe.json', 'backup.json'])('of any byte of %s is found', async (name) => {
    const path = name === 'keyframe.json' ? join(site.repository, name) : inBackup(name);
    const outcomes = await outcomesOf(path, readAll);
    expect(outcomes.filter(({ outcome }) => !/^error (CORRUPT|REPOSITORY_FORMAT)$/.test(outcome))).toEqual([]);
  });

  test('of any byte of a pack or of the manifest is found or does no harm, and never gives other bytes', async (context) => {
    await needs(context, 'postgres-18');
    const pack = await outcomesOf(inBackup(await firstPack()), readAll);
    const manifest = await outcomesOf(inBackup('manifest'), readAll);
    const odd = [...pack, ...manifest].filter(({ outcome }) => outcome !== 'same' && outcome !== 'error CORRUPT');
    expect(odd).toEqual([]);
    // Frames are most of a pack. A damaged manifest is read from its copy in the last pack.
    expect(pack.filter(({ outcome }) => outcome === 'error CORRUPT').length).toBeGreaterThan(STRETCHES / 2);
  });

  test('of both copies of the manifest is found wherever it is read', async () => {
    const { size } = await stat(inBackup('manifest'));
    const record = await (await archiveIn(site.repository)).backups.get(backup.label);
    const { key, offset } = record.manifest.copy;
    const outcomes: Outcome[] = [];
    for (let place = 0; place < size; place += Math.ceil(size / STRETCHES)) {
      await using _ = await damaged(inBackup('manifest'), flip(place, 3));
      await using copy = await damaged(join(site.repository, key), flip(offset + place, 3));
      outcomes.push(await readAll());
      expect(copy).toBeDefined();
    }
    // The server's own manifest in it is not read here.
    expect(new Set(outcomes)).toEqual(new Set(['same', 'error CORRUPT']));
  });

  test('of any byte of a WAL object is found', async () => {
    const outcomes = await outcomesOf(walObject(), readSegment);
    expect(outcomes.filter(({ outcome }) => !/^error (CORRUPT|REPOSITORY_FORMAT)$/.test(outcome))).toEqual([]);
  });

  test('of a WAL object is found when PostgreSQL pushes that segment again', async () => {
    await using _ = await damaged(walObject(), flip((await stat(walObject())).size - 30, 0));
    const path = join(site.origin.data, 'pg_wal', segment);
    const { status } = await run([SELF.archiveWrapper, SELF.node, SELF.main, '--config', site.config, '--', path])
      .ended;
    expect(status).toBeGreaterThanOrEqual(1);
    expect(status).toBeLessThanOrEqual(125);
  });

  test('ends a restore with a typed error, and the directory cannot be started until the same restore is repeated', async () => {
    const to = site.freshPath('damaged');
    const restore = ['restore', '--immediate', '--to', to, '--no-sync'];
    const pack = inBackup(await firstPack());
    const { size } = await stat(pack);
    for (const place of [size >> 3, size >> 1, (size >> 1) + (size >> 2)]) {
      await using _ = await damaged(pack, flip(place, 1));
      const fault = await site.fault(restore);
      expect([fault.code, fault.status]).toEqual(['CORRUPT', 4]);
      expect(fault.hint).toBeDefined();
      await expect(access(join(to, 'global/pg_control'))).rejects.toThrow('ENOENT');
      expect(await starts(to)).toBe(false);
    }
    await site.report(restore);
    await using cluster = await Cluster.attach(to);
    await cluster.start();
    await cluster.waitPromoted();
    expect(await cluster.sql('select count(*) from t')).toBe('20000');
  });

  test('of keyframe.json or of the only backup.json ends every command with its status', async () => {
    for (const path of [join(site.repository, 'keyframe.json'), inBackup('backup.json')]) {
      await using _ = await damaged(path, flip((await stat(path)).size >> 1, 0));
      expect((await site.keyframe(['list'])).status).toBe(4);
      for (const words of [
        ['plan', '--latest'],
        ['restore', '--latest', '--to', site.freshPath()],
      ]) {
        const fault = await site.fault(words);
        expect([path, words[0], fault.code, fault.status]).toEqual([path, words[0], 'CORRUPT', 4]);
      }
    }
  });
});

/** PostgreSQL, asked to start whatever lies there. */
async function starts(directory: string): Promise<boolean> {
  if (
    !(await access(join(directory, 'PG_VERSION')).then(
      () => true,
      () => false,
    ))
  )
    return false;
  await using cluster = await Cluster.attach(directory);
  return cluster.start().then(
    () => true,
    () => false,
  );
}

async function outcomeOf(read: () => Promise<boolean>): Promise<Outcome> {
  try {
    return (await read()) ? 'same' : 'wrong';
  } catch (error) {
    if (!isKeyframeError(error)) throw error;
    return `error ${error.code}`;
  }
}

function recordingSink(content: Map<string, Buffer>): RestoreSink {
  return {
    entry: ({ type, path, sizeBytes }) => {
      if (type === 'file') content.set(path, Buffer.alloc(sizeBytes));
    },
    write: ({ path }, offsetBytes, data) => content.get(path)?.set(data, offsetBytes),
    done: () => undefined,
  };
}

function comparingSink(content: ReadonlyMap<string, Buffer>, differs: () => void): RestoreSink {
  return {
    entry: (entry: ManifestEntry) => {
      if (entry.type === 'file' && content.get(entry.path)?.length !== entry.sizeBytes) differs();
    },
    write: (file, offsetBytes, data) => {
      if (
        content
          .get(file.path)
          ?.subarray(offsetBytes, offsetBytes + data.length)
          .equals(data) !== true
      )
        differs();
    },
    done: () => undefined,
  };
}
