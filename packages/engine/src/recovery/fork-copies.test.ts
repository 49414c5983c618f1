import { mkdtemp, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Compressor, hasCode } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { openRepository } from '@keyframe/repository';
import { createMemoryStore } from '@keyframe/testkit';
import { expect, it } from 'vitest';
import { placeForkCopies } from './fork-copies.ts';

const CHILD = '000000020000000000000004';
const PARENT = '000000010000000000000004';
const SIZE = 1 << 20;
const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };
const wal = { segments: [], gap: undefined, histories: [], forks: [{ name: PARENT, copyOf: CHILD }] };

it('puts the child’s copy under the parent’s name, and PostgreSQL will not archive it', async () => {
  const repository = openRepository({
    store: createMemoryStore(),
    compressor: copying,
    compressors: [],
    now: () => new Date(),
  });
  await repository.init();
  const archive = await repository.cluster('main').create({ systemIdentifier: '7', postgresVersion: 180_000 });
  const directory = await mkdtemp(join(tmpdir(), 'keyframe-forks-'));
  try {
    await mkdir(join(directory, 'pg_wal'));
    await expect(placeForkCopies({ archive, wal }, { directory, sync: true })).rejects.toSatisfy((error) =>
      hasCode(error, 'WAL_GAP'),
    );
    const content = Buffer.alloc(SIZE, 'wal');
    const facts = { systemIdentifier: '7', segmentSizeBytes: SIZE };
    await archive.wal.put({ name: CHILD, content: bytesOf(content), facts });
    await placeForkCopies({ archive, wal }, { directory, sync: true });
    expect((await readFile(join(directory, 'pg_wal', PARENT))).equals(content)).toBe(true);
    expect(await readdir(join(directory, 'pg_wal/archive_status'))).toEqual([`${PARENT}.done`]);
  } finally {
    await rm(directory, { recursive: true });
  }
});
