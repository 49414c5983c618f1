/** What a process costs before it does anything. @packageDocumentation */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { type Bench, inTurn, loadNow, siteFor } from '../bench.ts';
import { bundled, fromSource } from '../contenders/keyframe.ts';
import { word } from '../contender.ts';
import { type Command, measure } from '../measure.ts';

/** Runs of each per round: they are short and noisy. */
const RUNS = 7;

export interface StartOptions {
  readonly barman: string | undefined;
  readonly pgBackRest: string | undefined;
}

export async function starts(bench: Bench, peers: StartOptions): Promise<void> {
  const home = path.join(bench.directory, 'started');
  await mkdir(home, { recursive: true });
  const bundle = await bundled(home);
  const commands: [string, Command][] = [
    ['node -e 0', { argv: [process.execPath, '-e', '0'] }],
    ['keyframe --version', { argv: [...bundle.argv, '--version'] }],
    ['keyframe --version (from source)', { argv: [...fromSource().argv, '--version'] }],
  ];
  if (peers.pgBackRest !== undefined) commands.push(['pgbackrest version', { argv: ['pgbackrest', 'version'] }]);
  if (peers.barman !== undefined) commands.push(['barman --version', { argv: [peers.barman, '--version'] }]);
  commands.push(...(await pushesAgain(bench)));
  for (let round = 0; round < bench.rounds; round += 1) {
    bench.tell(`process start, round ${round + 1} of ${bench.rounds}`);
    for (const [title, command] of inTurn(commands, round))
      for (let count = 0; count < RUNS; count += 1)
        bench.record({ scenario: 'start', title, ...(await measure(command)), load: loadNow() });
  }
}

/** archive_command for a segment that is archived already, one process at a time. */
async function pushesAgain(bench: Bench): Promise<[string, Command][]> {
  const [segment] = bench.dataset.segments;
  if (segment === undefined) return [];
  const commands: [string, Command][] = [];
  for (const contender of bench.contenders) {
    if (contender.missing !== undefined || contender.wal === false || /Barman|^cp/.test(contender.title)) continue;
    const tool = await contender.prepare(siteFor(bench, contender));
    const filled = tool.archiveCommand
      .replaceAll('%p', word(path.join(bench.dataset.wal, segment)))
      .replaceAll('%f', segment);
    const command = { argv: ['sh', '-c', filled], cwd: bench.cluster.data };
    await measure(command); // the first one stores it
    commands.push([`archive_command, segment there: ${contender.title}`, command]);
  }
  return commands;
}
