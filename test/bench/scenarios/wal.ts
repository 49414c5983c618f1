/** archive_command for one segment after the other, again for segments that are there, and replay by restore_command. @packageDocumentation */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Bench, discard, everyRound, freshDirectory, loadNow, siteFor } from '../bench.ts';
import { type Contender, type Prepared, word } from '../contender.ts';
import { copyDirectory } from '../data/dataset.ts';
import { contents, measure, run, type Usage } from '../measure.ts';

/** Segments that are pushed a second time. */
export const SEGMENTS_AGAIN = 10;

/** With `replayOnly` what the pushes cost is no row: in a running server they go ahead. */
export async function pushAndReplay(bench: Bench, replayOnly: boolean): Promise<void> {
  const contenders = bench.contenders.filter(({ missing, wal }) => missing === undefined && wal !== false);
  await everyRound(bench, 'WAL push and replay', contenders, async (contender) => {
    const site = siteFor(bench, contender);
    const tool = await contender.prepare(site);
    await push(bench, replayOnly ? { ...contender, pushesByHand: false } : contender, tool);
    await replay(bench, contender, tool);
    await discard(bench, site.directory);
  });
}

async function push(bench: Bench, { title, pushesByHand }: Contender, tool: Prepared): Promise<void> {
  const { segments } = bench.dataset;
  await run({ argv: ['sync'] });
  const load = loadNow();
  const usage = await archive(bench, tool, segments);
  if (pushesByHand === false) return;
  const whole = tool.afterPush === undefined ? usage : sum(usage, await measure(tool.afterPush));
  const { bytes: storedBytes, files: objects } = await contents(tool.wal);
  bench.record({ scenario: 'push', title, ...whole, storedBytes, objects, load });
  if (tool.afterPush !== undefined) return; // what the peer's cp says about a second push is not its own verdict
  bench.record({
    scenario: 'push-again',
    title,
    ...(await archive(bench, tool, segments.slice(0, SEGMENTS_AGAIN))),
    load,
  });
}

const sum = (a: Usage, b: Usage): Usage => ({
  wallSeconds: a.wallSeconds + b.wallSeconds,
  cpuSeconds: a.cpuSeconds + b.cpuSeconds,
  peakRssBytes: Math.max(a.peakRssBytes, b.peakRssBytes),
});

/** Runs archive_command as PostgreSQL does: a shell for each segment, the next one when it is done. */
async function archive(bench: Bench, tool: Prepared, segments: readonly string[]): Promise<Usage> {
  const lines = segments.map((name) => {
    const filled = tool.archiveCommand.replaceAll('%p', path.join(bench.dataset.wal, name)).replaceAll('%f', name);
    return `sh -c ${word(filled)}\n`;
  });
  const script = path.join(bench.directory, 'push.sh');
  await writeFile(script, `set -e\n${lines.join('')}`);
  return measure({ argv: ['sh', script], cwd: bench.cluster.data });
}

/** A server that recovers from a copy of the base up to the restore point, and ends there. */
async function replay(bench: Bench, { title }: Contender, tool: Prepared): Promise<void> {
  const data = freshDirectory(bench, 'replayed');
  await copyDirectory(bench.dataset.base, data);
  await writeFile(path.join(data, 'recovery.signal'), '');
  const sockets = path.join(bench.directory, 's');
  await mkdir(sockets, { recursive: true });
  await run({ argv: ['sync'] });
  const settings = {
    listen_addresses: '',
    unix_socket_directories: sockets,
    archive_mode: 'off',
    hot_standby: 'off',
    restore_command: tool.restoreCommand(data),
    recovery_target_name: bench.dataset.restorePoint,
    recovery_target_action: 'shutdown',
  };
  const load = loadNow();
  const words = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = path.join(bench.cluster.bin, 'postgres');
  const usage = await measure({ argv: [server, '-D', data, ...words], unprivileged: true });
  bench.record({ scenario: 'replay', title, ...usage, load });
  await discard(bench, data);
}
