import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Compressor } from '@keyframe/contracts';
import { resolveConnection } from '@keyframe/postgres';
import { type BackupRecord, type EpochArchive, openRepository } from '@keyframe/repository';
import { createMemoryStore } from '@keyframe/testkit';
import { Cluster, needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, it } from 'vitest';
import { type BackupInput, isHolderAlive, takeBackup, thisProcess } from '../src/index.ts';

const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };

/** A repository in which all WAL seems to be: these backups are only looked at. */
async function backUp(
  cluster: Cluster,
  input: Partial<BackupInput> = {},
): Promise<{ record: BackupRecord; warnings: string }> {
  const now = (): Date => new Date();
  const repository = openRepository({ store: createMemoryStore(), compressor: copying, compressors: [], now });
  await repository.init();
  const history = repository.cluster('main');
  const warnings: string[] = [];
  const all = {
    find: async (identifier: string) => {
      const archive = await history
        .find(identifier)
        .catch(() => history.create({ systemIdentifier: identifier, postgresVersion: 1 }));
      const wal: EpochArchive['wal'] = { ...archive.wal, has: async () => true, get: async () => undefined };
      return { ...archive, backups: archive.backups, wal };
    },
  };
  const record = await takeBackup(
    {
      repository,
      clusterName: 'main',
      history: { ...history, ...all },
      target: await resolveConnection(cluster.url, {}),
      dataDirectory: cluster.data,
      holder: await thisProcess('test'),
      isHolderAlive,
      now,
      walTimeoutMs: 1000,
      tool: 'test',
    },
    { checkpoint: 'fast', ...input },
    { onEvent: (event) => void (event.kind === 'warning' && warnings.push(event.message)) },
  );
  return { record, warnings: warnings.join('\n') };
}

const SETTINGS = { archive_mode: 'on', archive_command: 'true' };

describe.each(postgresMajors([14, 18]))('a damaged page of PostgreSQL %i', (major) => {
  for (const from of ['stream', 'local'] as const)
    it(`is named with its relation, and the backup goes on, read by ${from}`, async (context) => {
      await needs(context, `postgres-${major}`);
      await using cluster = await Cluster.create(major, { template: true, settings: SETTINGS });
      await cluster.start();
      await cluster.sql('create table t as select generate_series(1, 1000) as i; create table empty ()');
      const path = await cluster.sql("select pg_relation_filepath('t')");
      await cluster.stop();
      {
        await using handle = await open(join(cluster.data, path), 'r+');
        await handle.write(Buffer.from('damage'), 0, 6, 2 * 8192 + 4000);
      }
      await cluster.start();
      const { record, warnings } = await backUp(cluster, { from });
      expect(record.damagedPages).toEqual([{ path, block: 2, relation: 'postgres: t' }]);
      expect(record.damagedPageCount).toBe(1);
      expect(warnings).toContain(`page 2 of ${path} is damaged`);
    });
});

it('pages that were not verified are not said to be whole', async (context) => {
  await needs(context, 'postgres-18');
  await using cluster = await Cluster.create(18, { template: true, checksums: false, settings: SETTINGS });
  await cluster.start();
  const { record } = await backUp(cluster);
  expect(record).not.toHaveProperty('damagedPages');
});
