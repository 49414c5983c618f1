import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Compressor } from '@keyframe/contracts';
import { openRepository } from '@keyframe/repository';
import { createMemoryStore } from '@keyframe/testkit';
import { expect, it } from 'vitest';
import { ownArchive } from './own-archive.ts';

const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };

it('outside a data directory takes the newest epoch', async () => {
  const store = createMemoryStore();
  const repository = openRepository({ store, compressor: copying, compressors: [], now: () => new Date() });
  await repository.init();
  await repository.cluster('main').create({ systemIdentifier: '7', postgresVersion: 170_000 });
  await repository.cluster('main').create({ systemIdentifier: '8', postgresVersion: 180_000 }, { next: true });
  const elsewhere = await mkdtemp(join(tmpdir(), 'keyframe-own-'));
  expect((await ownArchive(repository, 'main', elsewhere)).epoch.number).toBe(2);
  await rm(elsewhere, { recursive: true });
});
