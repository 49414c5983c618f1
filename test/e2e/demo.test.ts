import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ensurePostgres } from '@keyframe/testkit/postgres';
import { reportOf, spawnKeyframe } from './support/keyframe.ts';

/** Command lines of all processes that mention that directory. */
async function processesIn(directory: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes(directory));
}

test('demo brings 10,000 customers back, proves it, and leaves no process and no directory', async () => {
  const temporary = await mkdtemp(join(tmpdir(), 'kf-demo-'));
  try {
    const environment = { TMPDIR: temporary };
    const bin = await ensurePostgres(18);
    const report = reportOf(await spawnKeyframe(['demo', '--json', '--bin-dir', bin], { environment }).ended, 'demo');
    expect(report).toMatchObject({
      proven: true,
      customersBefore: 50_000,
      customersDeleted: 10_000,
      customersRestored: 50_000,
      sameContent: true,
      laterRowsRestored: 0,
      kept: false,
    });
    expect(await readdir(temporary)).toEqual([]);
    expect(await processesIn(temporary)).toEqual([]);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
});

test('demo that is interrupted leaves nothing either', async () => {
  const temporary = await mkdtemp(join(tmpdir(), 'kf-demo-'));
  try {
    const running = spawnKeyframe(['demo', '--json', '--bin-dir', await ensurePostgres(18)], {
      environment: { TMPDIR: temporary },
    });
    await expect
      .poll(() => processesIn(temporary).then((lines) => lines.length), { timeout: 60_000 })
      .toBeGreaterThan(2);
    running.child.kill('SIGINT');
    expect((await running.ended).status).toBe(130);
    expect(await readdir(temporary)).toEqual([]);
    expect(await processesIn(temporary)).toEqual([]);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
});
