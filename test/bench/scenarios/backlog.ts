/** A server that starts with many finished segments, and archives them by itself. @packageDocumentation */
import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from '@keyframe/testkit/postgres';
import { type Bench, discard, everyRound, freshDirectory, loadNow, siteFor } from '../bench.ts';
import type { Contender, Prepared } from '../contender.ts';
import { copyDirectory } from '../data/dataset.ts';
import { work } from '../data/load.ts';
import { contents, measure, run } from '../measure.ts';

const LOOK_EVERY_MS = 20;

export async function backlogs(bench: Bench): Promise<void> {
  const contenders = bench.contenders.filter(({ missing, wal }) => missing === undefined && wal !== false);
  const data = await makeBacklog(bench);
  await everyRound(bench, 'backlog', contenders, async (contender) => {
    const site = siteFor(bench, contender);
    const tool = await contender.prepare(site);
    await archive(bench, data, { contender, tool });
    await discard(bench, site.directory);
  });
  await discard(bench, data);
}

/** A stopped data directory in which so many segments wait that no one archived. */
async function makeBacklog(bench: Bench): Promise<string> {
  const data = freshDirectory(bench, 'backlog');
  await copyDirectory(bench.dataset.base, data);
  await using cluster = await Cluster.attach(data);
  await cluster.start({ settings: { archive_command: 'false' } });
  const waiting = bench.dataset.segments.length;
  for (let round = 0; (await waitingIn(data)) < waiting; round += 1) await work(cluster, round);
  await cluster.stop();
  // Work comes in large pieces: what is too much counts as archived.
  const extra = (await readyIn(data)).toSorted().slice(waiting);
  const status = statusOf(data);
  for (const name of extra) await rename(path.join(status, name), path.join(status, name.replace(READY, '.done')));
  return data;
}

const READY = '.ready';
const statusOf = (data: string): string => path.join(data, 'pg_wal', 'archive_status');

async function readyIn(data: string): Promise<string[]> {
  return (await readdir(statusOf(data))).filter((name) => name.endsWith(READY));
}

async function waitingIn(data: string): Promise<number> {
  return (await readyIn(data)).length;
}

async function archive(
  bench: Bench,
  backlog: string,
  { contender, tool }: { readonly contender: Contender; readonly tool: Prepared },
): Promise<void> {
  const data = freshDirectory(bench, 'archiving');
  await copyDirectory(backlog, data);
  const sockets = path.join(bench.directory, 's');
  await mkdir(sockets, { recursive: true });
  const archiveCommand = tool.archiveCommandIn?.(data) ?? tool.archiveCommand;
  const settings = {
    listen_addresses: '',
    unix_socket_directories: sockets,
    archive_mode: 'on',
    archive_command: archiveCommand,
  };
  await writeFile(path.join(data, 'postgresql.auto.conf'), '');
  await run({ argv: ['sync'] });
  const words = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const load = loadNow();
  const started = performance.now();
  const server = measure({
    argv: [path.join(bench.cluster.bin, 'postgres'), '-D', data, ...words],
    unprivileged: true,
  });
  const wallSeconds = await Promise.race([server.then(endedEarly), emptied(data, started)]);
  await run({ argv: [path.join(bench.cluster.bin, 'pg_ctl'), '-D', data, '-w', 'stop'], unprivileged: true });
  const usage = await server;
  const after = tool.afterPush === undefined ? undefined : await measure(tool.afterPush);
  const { bytes: storedBytes, files: objects } = await contents(tool.wal);
  bench.record({
    scenario: 'backlog',
    title: contender.title,
    wallSeconds: wallSeconds + (after?.wallSeconds ?? 0),
    cpuSeconds: usage.cpuSeconds + (after?.cpuSeconds ?? 0),
    peakRssBytes: Math.max(usage.peakRssBytes, after?.peakRssBytes ?? 0),
    storedBytes,
    objects,
    load,
  });
  await discard(bench, data);
}

function endedEarly(): never {
  throw new Error('the server ended before its backlog was archived');
}

async function emptied(data: string, started: number): Promise<number> {
  while ((await waitingIn(data)) > 0) await sleep(LOOK_EVERY_MS);
  return (performance.now() - started) / 1000;
}
