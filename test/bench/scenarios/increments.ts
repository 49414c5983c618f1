/** Backups that build on others: one after some pages changed, and ten on as many days. @packageDocumentation */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from '@keyframe/testkit/postgres';
import { type Bench, discard, everyRound, freshDirectory, loadNow, setArchiveCommand, siteFor } from '../bench.ts';
import type { Contender, Prepared } from '../contender.ts';
import { damagePages } from '../data/damage.ts';
import { copyDirectory } from '../data/dataset.ts';
import { dirty } from '../data/dirty.ts';
import { type Command, contents, cpuSecondsOf, measure, run, type Usage } from '../measure.ts';
import type { PatternName, Sample, ScenarioName } from '../samples.ts';
import { sameSize } from './backup.ts';

const PATTERNS: Readonly<Record<PatternName, { readonly share: number; readonly clustered: boolean }>> = {
  '1-random': { share: 0.01, clustered: false },
  '1-clustered': { share: 0.01, clustered: true },
  '10-random': { share: 0.1, clustered: false },
  '10-clustered': { share: 0.1, clustered: true },
};
const DAYS = 10;
const DAILY_SHARE = 0.02;
const DELTA_SHARE = 0.01;
/** Time for the server to begin with new settings, and for its processes to end. */
const SETTLE_MS = 300;

const takingPart = ({ contenders }: Bench): Contender[] =>
  contenders.filter(({ missing, increments }) => missing === undefined && increments === true);

/** Each contender with a server of its own over the same data, on which it took a full backup. */
async function withFullBackup(
  bench: Bench,
  contender: Contender,
  action: (tool: Prepared, server: Cluster, title: string, full: Figures) => Promise<void>,
): Promise<void> {
  const data = freshDirectory(bench, 'server');
  await copyDirectory(bench.dataset.base, data);
  const cluster = await Cluster.attach(data);
  try {
    await cluster.start({ settings: contender.settings ?? {} });
    const site = { ...siteFor(bench, contender), cluster };
    const tool = await contender.prepare(site);
    await setArchiveCommand(cluster, tool.archiveCommand);
    await sleep(SETTLE_MS);
    const full = await taken(tool, cluster, tool.backup);
    await action(tool, cluster, contender.title, full);
    await cluster.stop('immediate');
    await discard(bench, site.directory);
  } finally {
    await cluster[Symbol.asyncDispose]();
    await discard(bench, data);
  }
}

/** An increment after 1 % and 10 % of the pages changed, each on the one before it. */
export async function incrementsOf(bench: Bench): Promise<void> {
  await everyRound(bench, 'increments', takingPart(bench), (contender) =>
    withFullBackup(bench, contender, async (tool, server, title, full) => {
      bench.record({ scenario: 'full-before', title, ...full });
      let seed = 0;
      for (const [name, pattern] of Object.entries(PATTERNS)) {
        seed += 1;
        const pages = await dirty(server, { ...pattern, seed });
        bench.tell(`  ${name}: ${pages} pages`);
        bench.record({ scenario: `increment-${name as PatternName}`, title, ...(await takeIncrement(tool, server)) });
      }
    }),
  );
}

/** Ten increments, what the repository is then, and what it takes to restore from it. */
export async function days(bench: Bench): Promise<void> {
  const rows = takingPart(bench).filter(({ missingChains }) => missingChains === undefined);
  await everyRound(bench, 'days', rows, (contender) =>
    withFullBackup(bench, contender, async (tool, server, title) => {
      bench.record({ scenario: 'restore-full', title, ...(await restore(bench, tool, title)) });
      let [wallSeconds, cpuSeconds, serverCpuSeconds, requests] = [0, 0, 0, 0];
      let load = 0;
      for (let day = 1; day <= DAYS; day += 1) {
        await dirty(server, { share: DAILY_SHARE, clustered: false, seed: 100 + day });
        const figures = await takeIncrement(tool, server);
        wallSeconds += figures.wallSeconds / DAYS;
        cpuSeconds += figures.cpuSeconds / DAYS;
        serverCpuSeconds += (figures.serverCpuSeconds ?? 0) / DAYS;
        requests += (figures.requests ?? 0) / DAYS;
        load = figures.load;
      }
      const { files: objects, bytes: storedBytes } = await contents(tool.backups);
      const perDay = tool.requests === undefined ? {} : { requests: Math.round(requests) };
      const sums = { wallSeconds, cpuSeconds, serverCpuSeconds, storedBytes, objects, load, ...perDay };
      bench.record({ scenario: 'days', title, ...sums });
      await restoreAll(bench, tool, title);
    }),
  );
}

type Figures = Omit<Sample, 'scenario' | 'title'>;

async function takeIncrement(tool: Prepared, server: Cluster): Promise<Figures> {
  if (tool.increment === undefined) throw new Error('it takes no increments');
  return taken(tool, server, tool.increment());
}

async function taken(tool: Prepared, server: Cluster, command: Command): Promise<Figures> {
  await run({ argv: ['sync'] });
  const stored = existsSync(tool.backups) ? await contents(tool.backups) : { files: 0, bytes: 0 };
  const load = loadNow();
  const serverCpu = async (): Promise<number> => (server.pid === undefined ? 0 : cpuSecondsOf(server.pid));
  const before = await serverCpu();
  const usage = await counted(tool, 'backup', command);
  await sleep(SETTLE_MS); // the walsender ends a moment after its client
  const serverCpuSeconds = (await serverCpu()) - before;
  const now = await contents(tool.backups);
  const added = { storedBytes: now.bytes - stored.bytes, objects: now.files - stored.files };
  return { ...usage, ...added, serverCpuSeconds, load };
}

async function restore(bench: Bench, tool: Prepared, title: string, into?: string): Promise<Figures> {
  const directory = into ?? freshDirectory(bench, 'restored');
  await mkdir(directory, { mode: 0o700 });
  await run({ argv: ['sync'] });
  const load = loadNow();
  const usage = await counted(tool, 'restore', tool.restore(directory));
  await sameSize(path.join(bench.dataset.base, 'base'), path.join(directory, 'base'), title);
  if (into === undefined) await discard(bench, directory);
  return { ...usage, load };
}

/** The last backup into an empty directory, and over a copy of which some pages changed. */
async function restoreAll(bench: Bench, tool: Prepared, title: string): Promise<void> {
  const directory = freshDirectory(bench, 'restored');
  bench.record({ scenario: 'restore-days', title, ...(await restore(bench, tool, title, directory)) });
  for (const how of ['clustered', 'random'] as const) {
    if (tool.delta === undefined) continue;
    const pages = await damagePages(directory, DELTA_SHARE, how === 'clustered');
    bench.tell(`  delta, ${how}: ${pages} pages`);
    await run({ argv: ['sync'] });
    const load = loadNow();
    const scenario: ScenarioName = `delta-${how}`;
    bench.record({ scenario, title, ...(await counted(tool, 'restore', tool.delta(directory))), load });
  }
  await discard(bench, directory);
}

async function counted(
  tool: Prepared,
  name: string,
  command: Command,
): Promise<Usage & { readonly requests?: number | undefined }> {
  await tool.requests?.(name); // what came before
  const usage = await measure(command);
  return { ...usage, requests: await tool.requests?.(name) };
}
