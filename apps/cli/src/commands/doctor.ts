import { counted } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

const MARKS = { ok: 'good', warn: 'warning', fail: 'bad', skipped: 'dim' } as const;

export const command: Command = defineCommand({
  name: 'doctor',
  summary: 'Check every prerequisite of backup and recovery, and say how to meet it',
  description: `Asks the server over both kinds of connection, looks at archive_command and its files, and writes, reads and removes a small object in every store of the repository. Changes nothing else.

Of stores that can tell it says whether locks hold, whether objects are encrypted as the config file asks, whether rules of the bucket could take what backups need, and whether all copies lie in one place.

On the server's own machine it sees more: whether archive_command can run, and how long pg_wal would last if archiving stopped.`,
  examples: [
    { run: 'keyframe doctor' },
    { run: 'keyframe doctor --json', note: 'every finding with its id and status, for scripts' },
  ],
  positionals: [],
  options: {},
  exits: {
    0: 'every prerequisite is met; there may be warnings',
    4: 'a prerequisite is not met',
    ...FAULT_EXITS,
  },
  async run({ openApp, signal }) {
    const { doctor } = await import('@keyframe/engine');
    const { expectedArchiving } = await import('../expected-archiving.ts');
    const app = await openApp();
    const { mirror } = app;
    const report = await doctor(
      {
        target: () => app.connectionTarget(),
        repository: app.repository,
        store: mirror === undefined ? app.rawStores[0]?.store : undefined,
        mirrors: mirror && {
          stores: app.rawStores.map((each) => ({ ...each, repository: app.repositoryOver(each.store) })),
          rule: mirror.rule,
        },
        storage: { stores: app.rawStores, immutableMs: app.immutableMs, now: app.host.now },
        clusterName: app.clusterName,
        expected: expectedArchiving(app),
        exposed: app.configuration.exposed,
        now: () => app.host.now().getTime(),
      },
      { signal },
    );
    return { exit: report.verdict === 'fail' ? 4 : 0, report };
  },
  renderText({ cluster, findings, counts }, out) {
    const width = Math.max(...findings.map(({ id }) => id.length));
    for (const { id, status, what, why, fix } of findings) {
      out.line(`${out.style(MARKS[status], status.padEnd(7))} ${id.padEnd(width)}  ${what}`);
      const indent = ' '.repeat(width + 10);
      if (why !== undefined && status !== 'ok') out.line(out.style('dim', `${indent}${why}`));
      if (fix !== undefined) out.line(`${indent}${fix}`);
    }
    out.line();
    const wrong = [
      `${counts.fail} failed`,
      counted(counts.warn, 'warning'),
      `${counts.skipped} skipped`,
      `${counts.ok} ok`,
    ];
    out.line(`cluster ${out.style('strong', cluster)}: ${wrong.join(', ')}`);
  },
});
