/** What the machine itself can do with the same bytes: the part of a backup that no contender can do without. @packageDocumentation */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Bench, loadNow } from '../bench.ts';
import { shell, word } from '../contender.ts';
import { type Command, cpuSecondsOf, measure } from '../measure.ts';

const FRAMES = fileURLToPath(new URL('../compress-frames.ts', import.meta.url));

export async function limits(bench: Bench, levels: readonly number[]): Promise<void> {
  const { cluster } = bench;
  const tar = `tar -C ${word(bench.dataset.base)} --exclude=pg_wal -cf - .`;
  const stream: Command = {
    argv: [path.join(cluster.bin, 'pg_basebackup'), '-Ft', '-D', '-', '-X', 'none', '-c', 'fast'],
    environment: cluster.connection,
  };
  const commands: Readonly<Record<string, Command>> = {
    'read all files (tar to nowhere)': shell(`${tar} | cat > /dev/null`),
    'BASE_BACKUP to nowhere (pg_basebackup)': shell(`${stream.argv.map(word).join(' ')} > /dev/null`),
    ...Object.fromEntries(
      levels.flatMap((level) => [
        [`tar | zstd -${level} -T1 to nowhere`, shell(`${tar} | zstd -q -${level} -T1 > /dev/null`)],
        [`Keyframe's zstd ${level} frames of the same files and nothing else`, framesOf(bench.dataset.base, level)],
      ]),
    ),
  };
  for (let round = 0; round < bench.rounds; round += 1)
    for (const [title, command] of Object.entries(commands)) {
      bench.tell(`limits, round ${round + 1} of ${bench.rounds}: ${title}`);
      const load = loadNow();
      const before = cluster.pid === undefined ? 0 : await cpuSecondsOf(cluster.pid);
      const usage = await measure({ ...command, environment: stream.environment });
      const serverCpuSeconds = (cluster.pid === undefined ? 0 : await cpuSecondsOf(cluster.pid)) - before;
      bench.record({ scenario: 'limits', title, ...usage, serverCpuSeconds, load });
    }
}

const framesOf = (directory: string, level: number): Command => ({
  argv: [process.execPath, '--conditions=@keyframe/source', FRAMES, directory, String(level)],
});
