import type { Compressor } from '@keyframe/contracts';
import { type EpochArchive, type LeaseHolder, openRepository } from '@keyframe/repository';
import { createMemoryStore, failing, faulty } from '@keyframe/testkit';
import { expect, it } from 'vitest';
import type { EngineEvent } from '../events.ts';
import { discardLeftovers } from './discard-leftovers.ts';

const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };
const self: LeaseHolder = { host: 'db1', bootId: 'b', pid: 1, processStart: '1', command: 'keyframe backup' };
const dead = { ...self, pid: 2 };
const alive = { ...self, pid: 3 };
const elsewhere = { ...dead, host: 'db2' };

async function archiveWith(holders: readonly LeaseHolder[], store = createMemoryStore()): Promise<EpochArchive> {
  const repository = openRepository({ store, compressor: copying, compressors: [], now: () => new Date() });
  await repository.init();
  const archive = await repository.cluster('main').create({ systemIdentifier: '7', postgresVersion: 180_000 });
  for (const holder of holders) await archive.backups.begin({ type: 'full', method: 'stream', holder, tool: 't' });
  return archive;
}

const stateOf = async ({ pid }: LeaseHolder): Promise<'alive' | 'dead'> => (pid === dead.pid ? 'dead' : 'alive');

it('removes what a dead process of this host left, and nothing else', async () => {
  const archive = await archiveWith([dead, alive, elsewhere, dead]);
  await discardLeftovers(archive, self, stateOf, {});
  expect((await archive.backups.unfinished()).map(({ holder }) => holder)).toEqual([alive, elsewhere]);
});

it('is never in the way of a backup', async () => {
  const store = createMemoryStore();
  await archiveWith([dead], store);
  const broken = faulty(store, failing('delete'));
  const repository = openRepository({ store: broken, compressor: copying, compressors: [], now: () => new Date() });
  const told: EngineEvent[] = [];
  await discardLeftovers(await repository.cluster('main').at(1), self, stateOf, {
    onEvent: (event) => told.push(event),
  });
  expect(told.at(-1)?.kind).toBe('warning');
});
