import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { drain, textOf } from '@keyframe/contracts/streams';
import { testHost } from '@keyframe/testkit';
import { announcedSeed, Random } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import plugin from '../src/index.ts';

const writer = fileURLToPath(new URL('writer.ts', import.meta.url));
const open = (directory: string) => plugin.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, testHost());

/** Keys that the writer was told are stored, before it was killed. */
async function acknowledged(child: ChildProcess): Promise<readonly string[]> {
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(child, 'close');
  return Buffer.concat(chunks).toString().split('\n').slice(0, -1);
}

test('a writer killed at any moment leaves whole objects only, and all that were acknowledged', async () => {
  const random = new Random(announcedSeed('store-fs and kill -9'));
  const directory = await mkdtemp(join(tmpdir(), 'kf-crash-'));
  try {
    const store = open(directory);
    let killed = 0;
    for (let round = 0; round < 8; round += 1) {
      const args = ['--conditions=@keyframe/source', writer, directory, String(round)];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      const keys = acknowledged(child);
      await once(child.stdout, 'data');
      await sleep(random.between(0, 40));
      if (child.kill('SIGKILL')) killed += 1;
      const told = await keys;
      const listed = new Set(await Array.fromAsync(store.list(`round-${round}/`), ({ key }) => key));
      expect(told.filter((key) => !listed.has(key))).toEqual([]);
      for (const key of listed) {
        const content = (await drain(await store.get(key))).toString();
        const [hash, body = ''] = content.split('\n');
        expect([key, createHash('sha256').update(body).digest('hex')]).toEqual([key, hash]);
      }
    }
    expect(killed).toBe(8);
    await store.put('after', textOf('x'), { ifAbsent: true });
    // Later than a day, the first put of a process takes away what the killed ones left.
    const tomorrow = new Date(Date.now() + 25 * 3_600_000);
    const late = plugin.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, testHost({ now: () => tomorrow }));
    await late.put('later', textOf('x'));
    expect(await readdir(join(directory, '.keyframe-staging'))).toEqual([]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
