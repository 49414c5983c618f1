import { resolve } from 'node:path';
import { counted, KeyframeError } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'adopt',
  summary: 'Make a restored, promoted database cluster the continuation of its history',
  description: `A restored cluster has archive_mode = off, so a drill never writes to the repository. Adopting reserves its timeline id in the repository, writes archive_mode and archive_command to its postgresql.auto.conf and archives what it wrote meanwhile.

archive_mode needs a restart of PostgreSQL. Run the command again after it, then take a backup. Of two copies promoted to the same timeline only one can be adopted.`,
  examples: [{ run: 'keyframe adopt --data-directory /var/lib/postgresql/restored' }],
  positionals: [],
  options: {
    dataDirectory: {
      kind: 'string',
      flag: '--data-directory',
      value: 'dir',
      description: 'the restored data directory; default source.dataDirectory of the config file',
    },
  },
  exits: {
    0: 'adopted, or adopted before',
    3: 'adopted, but WAL of the new timeline was already removed: take a backup now',
    ...FAULT_EXITS,
  },
  async run({ openApp, options, signal, cwd }) {
    const { adopt } = await import('@keyframe/engine');
    const { archiveArguments, commandTarget } = await import('../invocation.ts');
    const app = await openApp();
    await app.repository.identity({ signal });
    const directory = options.dataDirectory ?? app.cluster.source.dataDirectory;
    if (directory === undefined)
      throw new KeyframeError('INVALID_OPTION', 'which data directory is to be adopted?', {
        hint: 'Give --data-directory, or set source.dataDirectory in the config file.',
      });
    const history = app.repository.cluster(app.clusterName);
    const report = await adopt(
      { history, archiveCommand: archiveArguments(commandTarget(app)) },
      resolve(cwd, directory),
      {
        signal,
      },
    );
    return { exit: report.gapFrom === undefined ? 0 : 3, report };
  },
  renderText(report, out) {
    out.line(
      `${out.style('good', report.outcome)}: timeline ${report.timeline}, forked from ${report.forkedFrom} at ${report.forkedAt}`,
    );
    if (report.pushed.length > 0)
      out.line(`archived ${counted(report.pushed.length, 'segment')} that it wrote meanwhile`);
    if (report.gapFrom !== undefined)
      out.line(
        out.style(
          'warning',
          `${report.gapFrom} is gone: moments between the fork and the next backup cannot be recovered`,
        ),
      );
    out.line(
      report.needsRestart
        ? 'Restart PostgreSQL now (archive_mode needs it), then run `keyframe adopt` again and `keyframe backup`.'
        : 'It archives as soon as it runs. With PostgreSQL running, take a backup now: `keyframe backup`.',
    );
  },
});
