/** Peak memory of a backup, an increment and a restore of generated data of several sizes. @packageDocumentation */
import { mkdir, statfs } from 'node:fs/promises';
import path from 'node:path';
import { Cluster, type Major } from '@keyframe/testkit/postgres';
import { type Bench, discard, freshDirectory, loadNow, setArchiveCommand, siteFor } from '../bench.ts';
import type { Contender } from '../contender.ts';
import { generateRelations } from '../data/pages.ts';
import { type Command, contents, measure } from '../measure.ts';

/** Runs Keyframe's rows alone: 1 GiB always, and what was asked for. */
export async function memory(bench: Bench, major: Major, gibibytes: number): Promise<void> {
  const rows = bench.contenders.filter(
    ({ isKeyframe, increments, missing }) => isKeyframe && increments === true && missing === undefined,
  );
  for (const size of new Set([1, gibibytes])) for (const row of rows) await ofSize(bench, major, size, row);
}

async function ofSize(bench: Bench, major: Major, size: number, row: Contender): Promise<void> {
  bench.tell(`memory, ${size} GiB: ${row.title}`);
  const settings = { wal_level: 'replica', archive_mode: 'on', archive_command: 'true', max_wal_size: '2GB' };
  await using cluster = await Cluster.create(major, { settings: { ...settings, ...row.settings } });
  await generateRelations(path.join(cluster.data, 'base', '1'), size);
  await cluster.start();
  const site = { ...siteFor(bench, row), cluster };
  try {
    const tool = await row.prepare(site);
    await setArchiveCommand(cluster, tool.archiveCommand);
    const { bytes: sizeBytes } = await contents(cluster.data);
    const record = async (what: string, command: Command): Promise<void> => {
      const load = loadNow();
      const usage = await measure(command);
      const { files: objects, bytes: storedBytes } = await contents(tool.backups);
      const title = `${row.title}: ${what} of ${(sizeBytes / 2 ** 30).toFixed(1)} GiB`;
      bench.record({ scenario: 'memory', title, ...usage, storedBytes, objects, load });
    };
    await record('full backup', tool.backup);
    if (tool.increment !== undefined) await record('increment', tool.increment());
    if (!(await hasRoomFor(bench.directory, sizeBytes))) {
      bench.tell(`${(sizeBytes / 2 ** 30).toFixed(1)} GiB cannot be restored here: the disk is too small`);
      return;
    }
    const directory = freshDirectory(bench, 'restored');
    await mkdir(directory, { mode: 0o700 });
    await record('restore', tool.restore(directory));
    if (tool.delta !== undefined) await record('restore --delta', tool.delta(directory));
    await discard(bench, directory);
  } catch (error) {
    bench.failed(row.title, error);
  } finally {
    await discard(bench, site.directory);
  }
}

/** The source takes little room, since its segments are links; what is restored takes all. */
async function hasRoomFor(directory: string, sizeBytes: number): Promise<boolean> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize > sizeBytes * 1.1;
}
