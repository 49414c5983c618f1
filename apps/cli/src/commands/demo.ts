import { join } from 'node:path';
import type { DemoLine } from '@keyframe/engine';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatDuration } from '../output/format.ts';

export const command: Command = defineCommand({
  name: 'demo',
  summary: 'Delete 10,000 customers from a real PostgreSQL and bring back the moment before',
  description: `Starts a PostgreSQL of its own (one that is installed here, else the one that comes with npm), runs a workload, takes a base backup while it runs, archives WAL through archive_command, deletes 10,000 customers, restores to just before that, starts the result and proves that the rows are back and later ones are not.

It needs no configuration, touches nothing outside its own temporary directory and leaves nothing running.`,
  examples: [
    { run: 'keyframe demo' },
    { run: 'keyframe demo --keep', note: 'keep the directory and show how to look around' },
    { run: 'keyframe demo --json', note: 'the facts: counts, LSNs, times' },
  ],
  positionals: [],
  options: {
    keep: { kind: 'boolean', flag: '--keep', description: 'keep the directory with both clusters and the repository' },
    binDir: {
      kind: 'string',
      flag: '--bin-dir',
      value: 'dir',
      description: 'PostgreSQL programs to use; default the newest found',
    },
  },
  exits: { 0: 'proven: the rows are back', ...FAULT_EXITS },
  async run({ options, signal, environment, tell, defer }) {
    const { mkdtemp } = await import('node:fs/promises');
    const { findDemoPostgres, runDemo } = await import('@keyframe/engine');
    const { archiveArguments, childKeyframe, launcher } = await import('../invocation.ts');
    const { keptDemoCommands } = await import('../output/kept-demo.ts');
    const started = performance.now();
    const found = await findDemoPostgres({
      binDirectory: options.binDir,
      environment,
      from: [import.meta.url],
      signal,
    });
    const directory = await mkdtemp(join(await socketSafeDirectory(), 'keyframe-demo-'));
    if (!options.keep) defer(() => removeAll(directory));
    const report = await runDemo({
      ...found,
      directory,
      environment,
      keyframe: childKeyframe(found.runner.identity, signal),
      archiveCommand: (configFile) => archiveArguments({ configFile, clusterName: 'shop', repositoryName: 'vault' }),
      say: (line) => tell(render(line)),
      signal,
    });
    const durationMs = Math.round(performance.now() - started);
    const lookAround = options.keep
      ? await keptDemoCommands({ ...found, report, environment, launcher: launcher() })
      : undefined;
    return { exit: 0, report: { ...report, durationMs, kept: options.keep, lookAround } };
  },
  renderText(report, out) {
    out.line(
      `${out.style('good', 'proven')} in ${formatDuration(report.durationMs)}: ${report.customersDeleted} deleted customers are back, PostgreSQL ${report.postgres} (${report.postgresFrom}, ${report.ranAs})`,
    );
    if (report.lookAround === undefined) return;
    out.line(`Kept in ${report.directory}; both servers are stopped. To look around:`);
    for (const line of report.lookAround) out.line(`  ${line}`);
  },
});

function render({ kind, text }: DemoLine): string {
  return { step: `\n${text}`, command: `  $ ${text}`, fact: `    ${text}`, proof: `\n${text}` }[kind];
}

/** The path of a unix socket may have 107 bytes; a long TMPDIR would not leave room for it. */
async function socketSafeDirectory(): Promise<string> {
  const { tmpdir } = await import('node:os');
  return tmpdir().length < 50 ? tmpdir() : '/tmp';
}

/** What archives notices the end of its server within half a second, and may write into the directory until then. */
const ARCHIVER_ENDS_MS = 700;

async function removeAll(directory: string): Promise<void> {
  const { rm } = await import('node:fs/promises');
  const { setTimeout: sleep } = await import('node:timers/promises');
  await sleep(ARCHIVER_ENDS_MS);
  await rm(directory, { recursive: true, force: true, maxRetries: 5 });
}
