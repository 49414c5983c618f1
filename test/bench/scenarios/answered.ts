/** What archive_command costs for a segment that went ahead: the steady state. @packageDocumentation */
import { spawn } from 'node:child_process';
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Bench, discard, everyRound, freshDirectory, loadNow, siteFor } from '../bench.ts';
import { type Contender, type Prepared, word } from '../contender.ts';
import { contents, measure, run } from '../measure.ts';

/** Segments that are asked for after they went ahead: no more than anybody keeps ahead. */
export const ANSWERED = 16;
const PATIENCE_MS = 60_000;

export async function answered(bench: Bench): Promise<void> {
  const contenders = bench.contenders.filter(({ missing, wal }) => missing === undefined && wal !== false);
  await everyRound(bench, 'answered', contenders, async (contender) => {
    const site = siteFor(bench, contender);
    const tool = await contender.prepare(site);
    // Where nothing goes ahead a second call is the same as the first.
    if (tool.goesAhead === true) await ask(bench, contender, tool);
    await discard(bench, site.directory);
  });
}

async function ask(bench: Bench, { title }: Contender, tool: Prepared): Promise<void> {
  const data = freshDirectory(bench, 'answered');
  const names = bench.dataset.segments.slice(0, ANSWERED + 1);
  await makeData(bench, data, names);
  // Stands for the server: who goes ahead looks whether it lives.
  const server = spawn('sleep', ['600'], { cwd: data, stdio: 'ignore' });
  try {
    await writeFile(
      path.join(data, 'postmaster.pid'),
      `${server.pid}\n${data}\n1790000000\n5432\n/tmp\n\n  1 2\nready\n`,
    );
    const command = tool.archiveCommandIn?.(data) ?? tool.archiveCommand;
    const lines = names.map(
      (name) => `sh -c ${word(command.replaceAll('%p', `pg_wal/${name}`).replaceAll('%f', name))}\n`,
    );
    const [first = '', ...rest] = lines;
    await run({ argv: ['sh', '-c', first], cwd: data });
    const deadline = performance.now() + PATIENCE_MS;
    while ((await contents(tool.wal)).files < names.length && performance.now() < deadline) await sleep(50);
    await sleep(500);
    const script = path.join(bench.directory, 'answered.sh');
    await writeFile(script, `set -e\n${rest.join('')}`);
    const load = loadNow();
    bench.record({ scenario: 'answered', title, ...(await measure({ argv: ['sh', script], cwd: data })), load });
  } finally {
    server.kill();
  }
  await discard(bench, data);
}

/** As far as an archive_command looks at it. */
async function makeData({ dataset }: Bench, data: string, names: readonly string[]): Promise<void> {
  const status = path.join(data, 'pg_wal', 'archive_status');
  await mkdir(status, { recursive: true });
  await mkdir(path.join(data, 'global'));
  for (const file of ['PG_VERSION', 'global/pg_control'])
    await copyFile(path.join(dataset.base, file), path.join(data, file));
  for (const name of names) {
    await symlink(path.join(dataset.wal, name), path.join(data, 'pg_wal', name));
    await writeFile(path.join(status, `${name}.ready`), '');
  }
}
