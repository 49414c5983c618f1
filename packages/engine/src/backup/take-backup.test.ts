import { type Compressor, hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import { resolveConnection } from '@keyframe/postgres';
import { openRepository } from '@keyframe/repository';
import { createMemoryStore } from '@keyframe/testkit';
import { expect, it } from 'vitest';
import { freePort } from '../demo/free-port.ts';
import type { EngineEvent } from '../events.ts';
import { isHolderAlive, thisProcess } from './holder.ts';
import { takeBackup } from './take-backup.ts';

const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };

it('a lease that cannot be given back hides nothing of what became of the backup', async () => {
  const memory = createMemoryStore();
  const store: Store = {
    ...memory,
    put: async (key, source, options) => {
      if (key === 'leases/main/backup/0000000002') throw new KeyframeError('ACCESS_DENIED', 'no more leases');
      return memory.put(key, source, options);
    },
  };
  const now = (): Date => new Date();
  const repository = openRepository({ store, compressor: copying, compressors: [], now });
  await repository.init();
  const events: EngineEvent[] = [];
  const backup = takeBackup(
    {
      repository,
      clusterName: 'main',
      history: repository.cluster('main'),
      target: await resolveConnection(`postgresql://x@127.0.0.1:${await freePort()}/x?sslmode=disable`, {}),
      holder: await thisProcess('test'),
      isHolderAlive,
      now,
      walTimeoutMs: 1000,
      tool: 'test',
    },
    { checkpoint: 'fast' },
    { onEvent: (event) => void events.push(event) },
  );
  await expect(backup).rejects.toSatisfy((error) => hasCode(error, 'SERVER_UNREACHABLE'));
  expect(events).toContainEqual({ kind: 'warning', message: 'no more leases', hint: undefined });
});
