/** How long `keyframe log` takes over many indexed segments in a store that is far away. @packageDocumentation */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Major } from '@keyframe/testkit/postgres';
import { loadNow } from '../bench.ts';
import { bundled } from '../contenders/keyframe.ts';
import { ensureIndexed, type Indexed } from '../data/indexed.ts';
import { measure, run, type Usage } from '../measure.ts';
import type { SlowOptions } from '../slow-store.ts';

export interface SearchOptions {
  readonly major: Major;
  readonly rounds: number;
}

const SEGMENTS = 10_000;
const LATENCY_MS = 20;

interface Run extends Usage {
  readonly requests: number;
}

/** One table, as Markdown. */
export async function searchTable(
  cache: string,
  options: SearchOptions,
  tell: (text: string) => void,
): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'kf-bench-search-'));
  try {
    const { argv, slowStore = '' } = await bundled(path.join(directory, 'keyframe'));
    const indexed = await ensureIndexed(cache, { major: options.major, segments: SEGMENTS, argv }, tell);
    const config = path.join(directory, 'keyframe.json');
    const [report, state] = [path.join(directory, 'requests'), path.join(directory, 'state')];
    const slow: SlowOptions = { directory: indexed.store, latencyMs: LATENCY_MS, report };
    const stores = [{ use: slowStore, ...slow }];
    await writeFile(config, JSON.stringify({ clusters: { main: {} }, repositories: { vault: { stores } }, state }));
    const log = (words: readonly string[]): readonly string[] => [
      ...argv,
      '--config',
      config,
      '--quiet',
      'log',
      ...words,
    ];
    const once = async (words: readonly string[]): Promise<Run> => {
      await rm(report, { force: true });
      const usage = await measure({ argv: log(words) });
      return { ...usage, requests: Number(await readFile(report, 'utf8')) };
    };
    const lines: string[] = [];
    const loads: number[] = [];
    for (const [title, words] of questions(indexed)) {
      const [cold, warm]: [Run[], Run[]] = [[], []];
      for (let round = 0; round < options.rounds; round += 1) {
        tell(`search, round ${round + 1} of ${options.rounds}: ${title}`);
        loads.push(loadNow());
        await rm(state, { recursive: true, force: true });
        cold.push(await once(words));
        warm.push(await once(words));
      }
      const found = JSON.parse(await run({ argv: [...log(words), '--json'] })) as {
        readonly entries: readonly object[];
      };
      lines.push(`| ${title} | ${found.entries.length} | ${cells(cold)} | ${cells(warm)} |\n`);
    }
    const about = `\`keyframe log\` over ${SEGMENTS} indexed segments (${Math.round((SEGMENTS * 16) / 1024)} GiB of WAL) of PostgreSQL ${options.major}, each request to the store ${LATENCY_MS} ms; whole process, medians of ${options.rounds} rounds; load average ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}. Cold: nothing was read before on this host; warm: the same again.`;
    const heading = ['', 'entries', ...['cold', 'warm'].flatMap((how) => [`${how} s`, 'CPU s', 'requests', 'MiB'])];
    const ruler = heading.map((_, column) => (column === 0 ? '---' : '--:'));
    return `${about}\n\n| ${heading.join(' | ')} |\n| ${ruler.join(' | ')} |\n${lines.join('')}`;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function questions({ deleted, alike, since, until }: Indexed): [title: string, words: readonly string[]][] {
  return [
    ['the newest 200', []],
    ['`--since … --until …`, 48 segments in the middle', ['--since', since, '--until', until]],
    ['`--table customers`, touched once', ['--table', 'customers']],
    ['`--table pgbench_accounts`, touched everywhere', ['--table', 'pgbench_accounts']],
    ['`--min-rows 5000`', ['--min-rows', '5000']],
    ['`--ddl`', ['--ddl']],
    ['`--xid …`, told by itself', ['--xid', String(deleted)]],
    ['`--xid …`, one of many alike', ['--xid', String(alike)]],
  ];
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

function cells(runs: readonly Run[]): string {
  const of = (pick: (each: Run) => number): number => median(runs.map(pick));
  return [
    of(({ wallSeconds }) => wallSeconds).toFixed(2),
    of(({ cpuSeconds }) => cpuSeconds).toFixed(2),
    of(({ requests }) => requests).toFixed(0),
    (of(({ peakRssBytes }) => peakRssBytes) / 2 ** 20).toFixed(0),
  ].join(' | ');
}
