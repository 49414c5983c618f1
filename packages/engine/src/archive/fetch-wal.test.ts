import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Compressor, Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { openRepository } from '@keyframe/repository';
import { createMemoryStore } from '@keyframe/testkit';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type FetchContext, fetchWal } from './fetch-wal.ts';

const [FIRST, SECOND] = ['000000010000000000000001', '000000010000000000000002'];
const SIZE = 1 << 20;
const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'keyframe-fetch-'));
});
afterEach(() => rm(directory, { recursive: true }));

/** An archive of two segments, whose first one comes only once `gate` has opened. */
async function contextOf(gate: Promise<void>): Promise<FetchContext> {
  const plain = createMemoryStore();
  const store: Store = {
    ...plain,
    get: async (key, options) => {
      const stream = await plain.get(key, options);
      return (async function* () {
        let given = 0;
        for await (const chunk of stream) {
          if (key.endsWith(FIRST) && given > 0) await gate;
          given += chunk.length;
          yield chunk;
        }
      })();
    },
  };
  const repository = openRepository({ store, compressor: copying, compressors: [], now: () => new Date() });
  await repository.init();
  const archive = await repository.cluster('main').create({ systemIdentifier: '7', postgresVersion: 180_000 });
  for (const [name, letter] of [
    [FIRST, 'a'],
    [SECOND, 'b'],
  ] as const) {
    const facts = { systemIdentifier: '7', segmentSizeBytes: SIZE };
    await archive.wal.put({ name, content: bytesOf(Buffer.alloc(SIZE, letter)), facts });
  }
  return { repository, archive };
}

it('a fetch that outlived its PostgreSQL never spoils that of the next one', async () => {
  const gate = Promise.withResolvers<void>();
  const context = await contextOf(gate.promise);
  const destination = join(directory, 'RECOVERYXLOG');
  const orphan = fetchWal(context, { name: FIRST, destination }).then(
    () => 'fetched',
    () => 'failed',
  );
  while ((await readdir(directory)).length === 0) await new Promise(setImmediate);
  expect(await fetchWal(context, { name: SECOND, destination })).toBe('fetched');
  gate.resolve();
  expect(await orphan).toBe('failed');
  expect((await readFile(destination)).equals(Buffer.alloc(SIZE, 'b'))).toBe(true);
  expect(await readdir(directory)).toEqual(['RECOVERYXLOG']);
});

it('removes what a killed fetch left behind', async () => {
  const context = await contextOf(Promise.resolve());
  const destination = join(directory, 'RECOVERYXLOG');
  await writeFile(`${destination}.keyframe-tmp-1`, 'half');
  await writeFile(join(directory, 'RECOVERYHISTORY.keyframe-tmp-1'), 'not ours');
  await fetchWal(context, { name: FIRST, destination });
  expect((await readdir(directory)).toSorted()).toEqual(['RECOVERYHISTORY.keyframe-tmp-1', 'RECOVERYXLOG']);
});
