/** Full backup of the running server, and its restore into an empty directory. @packageDocumentation */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Bench, discard, everyRound, freshDirectory, loadNow, setArchiveCommand, siteFor } from '../bench.ts';
import type { Contender, Prepared } from '../contender.ts';
import { contents, cpuSecondsOf, measure, run } from '../measure.ts';

/** Time for the server to begin with the new archive_command and to settle. */
const SETTLE_MS = 300;

export async function backupAndRestore(bench: Bench): Promise<void> {
  const contenders = bench.contenders.filter(({ missing, backups }) => missing === undefined && backups !== false);
  await everyRound(bench, 'backup and restore', contenders, async (contender) => {
    const site = siteFor(bench, contender);
    const tool = await contender.prepare(site);
    try {
      await backUp(bench, contender, tool);
      await restore(bench, contender, tool);
    } finally {
      await setArchiveCommand(bench.cluster, 'true');
      await discard(bench, site.directory);
    }
  });
}

async function backUp(bench: Bench, { title }: Contender, tool: Prepared): Promise<void> {
  const { cluster, record } = bench;
  await setArchiveCommand(cluster, tool.archiveCommand);
  await cluster.sql('checkpoint');
  await run({ argv: ['sync'] });
  await sleep(SETTLE_MS);
  const load = loadNow();
  const server = async (): Promise<number> => (cluster.pid === undefined ? 0 : cpuSecondsOf(cluster.pid));
  const before = await server();
  const usage = await measure(tool.backup);
  await sleep(SETTLE_MS); // the walsender ends a moment after its client
  const serverCpuSeconds = (await server()) - before;
  const { files: objects, bytes: storedBytes } = await contents(tool.backups);
  record({ scenario: 'backup', title, ...usage, serverCpuSeconds, storedBytes, objects, load });
}

async function restore(bench: Bench, { title }: Contender, tool: Prepared): Promise<void> {
  const directory = freshDirectory(bench, 'restored');
  await mkdir(directory, { mode: 0o700 });
  await run({ argv: ['sync'] });
  const load = loadNow();
  const usage = await measure(tool.restore(directory));
  await sameSize(path.join(bench.cluster.data, 'base'), path.join(directory, 'base'), title);
  bench.record({ scenario: 'restore', title, ...usage, load });
  await discard(bench, directory);
}

/** A contender that left something out would be quick. Caches that every server makes anew are left out rightly. */
export async function sameSize(original: string, restored: string, title: string): Promise<void> {
  const [{ bytes: expected }, { bytes }] = [await contents(original), await contents(restored)];
  if (Math.abs(bytes - expected) > expected / 100)
    throw new Error(`${title} restored ${bytes} bytes of relations, the server has ${expected}`);
}
