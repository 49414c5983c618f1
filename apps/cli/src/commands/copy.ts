import { KeyframeError } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatDuration, formatSize } from '../output/format.ts';

export const command: Command = defineCommand({
  name: 'copy',
  summary: 'Copy a repository, one cluster of it, or one backup with its WAL to another repository',
  description: `Both are repositories of the config file, on whatever stores. Every object is proven while it is copied, and a backup becomes visible at the target only when all it needs is there. Interrupted, the same command goes on; run again later, it brings over what is new. Nothing is removed from the target: \`keyframe expire\` does that by the target's own retention.

The target must be empty or an earlier copy. A copy is the same repository in another place: it keeps id and keys, so what opens the source opens the copy. To give it other keys, run \`keyframe key add\` and \`keyframe key remove\` with \`--repository\` naming the copy.

With --backup the copy holds that backup, the packs of earlier ones it builds on, and the WAL by which it gets consistent: it can be restored to its end (--immediate).`,
  examples: [
    { run: 'keyframe copy vault attic' },
    { run: 'keyframe copy vault attic --cluster main', note: 'one cluster with all its backups and WAL' },
    { run: 'keyframe copy vault usb --cluster main --backup latest', note: 'the newest backup alone' },
  ],
  positionals: [
    { name: 'from', description: 'repository of the config file that is read' },
    { name: 'to', description: 'repository of the config file that is written' },
  ],
  options: {
    backup: {
      kind: 'string',
      flag: '--backup',
      value: 'label',
      description: 'only that backup of --cluster, or `latest`',
    },
  },
  exits: {
    0: 'everything is there',
    3: 'the target has other objects under some names; they were left as they are',
    4: 'an object of the source is damaged; what came before it was copied',
    ...FAULT_EXITS,
  },
  async run({ positionals, options, globals, configuration, environment, signal, progress, log, defer }) {
    const { copy } = await import('@keyframe/engine');
    const { openApp } = await import('@keyframe/runtime');
    const { showEvents } = await import('../output/events.ts');
    if (positionals.from === positionals.to)
      throw new KeyframeError('INVALID_OPTION', 'a repository cannot be copied to itself', {
        hint: 'Name two repositories of the config file.',
      });
    if (options.backup !== undefined && globals.cluster === undefined)
      throw new KeyframeError('INVALID_OPTION', '--backup needs --cluster', {
        hint: 'Say whose backup it is: --cluster NAME.',
      });
    const file = await configuration();
    const [anyCluster] = file.clusters.keys();
    const open = (repository: string): ReturnType<typeof openApp> => {
      // Which cluster of the file it is opened for says nothing here: what is copied is chosen in the repository.
      const app = openApp(file, { cluster: anyCluster, repository, log, environment });
      defer(() => app.close());
      return app;
    };
    const [from, to] = [open(positionals.from), open(positionals.to)];
    const shown = showEvents(progress, log);
    const started = performance.now();
    const copied = await copy(
      {
        repository: from.repository,
        from: from.store,
        to: to.store,
        check: (store, key, how) => from.repositoryOver(store).check(key, how),
      },
      { cluster: globals.cluster, backup: options.backup },
      { signal, onEvent: shown.onEvent },
    );
    shown.finish();
    const report = { ...positionals, ...copied, durationMs: Math.round(performance.now() - started) };
    return { exit: copied.conflicts.length === 0 ? 0 : 3, report };
  },
  renderText({ from, to, copied, copiedBytes, present, repaired, unproven, conflicts, durationMs }, out) {
    out.line(
      `copied ${copied + unproven} objects, ${formatSize(copiedBytes)}, from ${from} to ${to} in ${formatDuration(durationMs)}; ${present} were there`,
    );
    if (repaired > 0) out.line(`replaced ${repaired} that were damaged at the target`);
    for (const key of conflicts)
      out.line(`${out.style('bad', 'conflict')} ${to} has another ${key}; it was left as it is`);
  },
});
