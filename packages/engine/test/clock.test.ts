import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Compressor } from '@keyframe/contracts';
import { resolveConnection } from '@keyframe/postgres';
import { openRepository } from '@keyframe/repository';
import { createMemoryStore } from '@keyframe/testkit';
import { Cluster, needs } from '@keyframe/testkit/postgres';
import { expect, it } from 'vitest';
import { isHolderAlive, pushWal, takeBackup, thisProcess } from '../src/index.ts';

const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };
const HOURS_MS = 3_600_000;

/** A backup by a client whose clock is wrong: when the server had finished it, by the backup and by the server itself. */
async function stoppedAt(cluster: Cluster, url: string, wrongByMs: number): Promise<{ said: number; atMost: number }> {
  const now = (): Date => new Date(Date.now() + wrongByMs);
  const repository = openRepository({ store: createMemoryStore(), compressor: copying, compressors: [], now });
  await repository.init();
  const history = repository.cluster('main');
  const backup = takeBackup(
    {
      repository,
      clusterName: 'main',
      history,
      target: await resolveConnection(url, {}),
      holder: await thisProcess('test'),
      isHolderAlive,
      now,
      walTimeoutMs: 60_000,
      tool: 'test',
    },
    { checkpoint: 'fast' },
  );
  const finished = backup.then(
    () => true,
    () => true,
  );
  const archived = join(cluster.directory, 'archived');
  while (!(await Promise.race([finished, sleep(50, false)])))
    for (const name of await readdir(archived)) {
      if (!/^[0-9A-F]{24}$/.test(name)) continue;
      await pushWal({ history }, join(archived, name));
      await rm(join(archived, name));
    }
  return { said: Date.parse((await backup).stoppedAt), atMost: Date.now() };
}

it('a backup ends by the clock of the server, however wrong the clock of the client is', async (context) => {
  await needs(context, 'postgres-16');
  await using cluster = await Cluster.create(16, { template: true, settings: { archive_mode: 'on' } });
  const archived = join(cluster.directory, 'archived');
  await mkdir(archived, { mode: 0o777 });
  const settings = { archive_command: `cp %p ${archived}/.tmp && mv ${archived}/.tmp ${archived}/%f` };
  await cluster.start({ settings });
  for (const wrongByMs of [-5 * HOURS_MS, 5 * HOURS_MS]) {
    const begun = Date.now();
    const asked = await stoppedAt(cluster, cluster.url, wrongByMs);
    expect(asked.said).toBeGreaterThanOrEqual(begun);
    expect(asked.said).toBeLessThanOrEqual(asked.atMost + 1000);

    // Replication goes to no database, so this role can back up and not ask.
    const absentUrl = cluster.url.replace('/postgres?', '/absent?');
    expect(absentUrl).not.toBe(cluster.url);
    const begunUnasked = Date.now();
    const unasked = await stoppedAt(cluster, absentUrl, wrongByMs);
    expect(unasked.said).toBeGreaterThanOrEqual(begunUnasked);
    expect(unasked.said).toBeLessThanOrEqual(unasked.atMost + 2000);
  }
});
