import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type Compressor, hasCode } from '@keyframe/contracts';
import { resolveConnection } from '@keyframe/postgres';
import { openRepository } from '@keyframe/repository';
import { createMemoryStore } from '@keyframe/testkit';
import { Cluster, needs } from '@keyframe/testkit/postgres';
import { expect, it } from 'vitest';
import { isHolderAlive, takeBackup, thisProcess } from '../src/index.ts';

const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };

it('a damaged page of the cluster is named, and such a backup is not published', async (context) => {
  await needs(context, 'postgres-18');
  await using cluster = await Cluster.create(18, {
    template: true,
    settings: { archive_mode: 'on', archive_command: 'true' },
  });
  await cluster.start();
  await cluster.sql('create table t as select generate_series(1, 1000) as i');
  const file = await cluster.sql("select pg_relation_filepath('t')");
  await cluster.stop();
  {
    await using handle = await open(join(cluster.data, file), 'r+');
    await handle.write(Buffer.from('damage'), 0, 6, 8192 + 4000);
  }
  await cluster.start();

  const now = (): Date => new Date();
  const repository = openRepository({
    store: createMemoryStore(),
    compressor: copying,
    compressors: [],
    now,
  });
  await repository.init();
  const history = repository.cluster('main');
  const warnings: string[] = [];
  const backup = takeBackup(
    {
      repository,
      clusterName: 'main',
      history,
      target: await resolveConnection(cluster.url, {}),
      holder: await thisProcess('test'),
      isHolderAlive,
      now,
      walTimeoutMs: 1000,
      tool: 'test',
    },
    { checkpoint: 'fast' },
    { onEvent: (event) => void (event.kind === 'warning' && warnings.push(event.message)) },
  );
  await expect(backup).rejects.toSatisfy((error) => hasCode(error, 'SERVER_ERROR'));
  expect(warnings.join('\n')).toContain(file);
  const { backups } = (await history.newest()) ?? {};
  expect([await backups?.list(), await backups?.unfinished()]).toEqual([[], []]);
});
