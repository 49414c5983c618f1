import { counted, hasCode, KeyframeError } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatDuration, formatSize } from '../output/format.ts';

export const command: Command = defineCommand({
  name: 'copy',
  summary: 'Copy a repository, one cluster of it, or one backup with its WAL to another repository',
  description: `Both are repositories of the config file, on whatever stores. Every object is proven when it is read, and a backup becomes visible at the target only when all it needs is there. Interrupted, the same command goes on; run again later, it brings over what is new. Nothing is removed from the target: \`keyframe expire\` does that by the target's own retention.

The target decides what is made:

An empty place, or an earlier copy, becomes the same repository once more, byte for byte: it has the id and the keys of the source, so what opens one opens the other.

A repository of its own, made before with \`keyframe repository create\`, gets everything under its own keys, or without any: each frame is decrypted and encrypted anew, each object read back once it is written, and records are signed by the target's signer. What opens the source does not open it. From an encrypted repository into one that is not takes --plain.

What it costs is told before it begins; with --dry-run nothing more happens. With --backup the copy holds that backup, the packs of earlier ones it builds on, and the WAL by which it gets consistent: it can be restored to its end (--immediate).`,
  examples: [
    { run: 'keyframe copy vault attic' },
    { run: 'keyframe copy vault attic --dry-run', note: 'what would be copied, and under which keys' },
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
    plain: {
      kind: 'boolean',
      flag: '--plain',
      description: 'let content of an encrypted repository lie in plain in the target',
    },
    dryRun: { kind: 'boolean', flag: '--dry-run', description: 'tell what would be copied, and copy nothing' },
  },
  exits: {
    0: 'everything is there',
    3: 'the target has other objects under some names; they were left as they are',
    4: 'an object of the source is damaged; what came before it was copied',
    5: 'a backup of this cluster is being written to the target',
    ...FAULT_EXITS,
  },
  exitFor: (error) => (hasCode(error, 'CONFLICT') ? 3 : undefined),
  async run({ positionals, options, globals, configuration, environment, signal, progress, log, defer }) {
    const { copy, isHolderAlive, thisProcess } = await import('@keyframe/engine');
    const { choose, openApp } = await import('@keyframe/runtime');
    const { showEvents } = await import('../output/events.ts');
    const { VERSION } = await import('../version.ts');
    if (positionals.from === positionals.to)
      throw new KeyframeError('INVALID_OPTION', 'a repository cannot be copied to itself', {
        hint: 'Name two repositories of the config file.',
      });
    if (options.backup !== undefined && globals.cluster === undefined)
      throw new KeyframeError('INVALID_OPTION', '--backup needs --cluster', {
        hint: 'Say whose backup it is: --cluster NAME.',
      });
    const file = await configuration();
    for (const name of [positionals.from, positionals.to]) choose(file.repositories, name, 'repository', 'argument');
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
    const { cluster } = globals;
    const { backup, plain, dryRun } = options;
    const { copied, copiedBytes, ...outcome } = await copy(
      {
        repository: from.repository,
        target: to.repository,
        from: from.store,
        to: to.store,
        repositoryOver: (store) => from.repositoryOver(store),
        holder: await thisProcess('keyframe copy'),
        isHolderAlive,
        tool: `keyframe ${VERSION}`,
      },
      { cluster, backup, plain, dryRun },
      { signal, onEvent: shown.onEvent },
    );
    shown.finish();
    const durationMs = Math.round(performance.now() - started);
    return { exit: 0, report: { ...positionals, dryRun, copied, copiedBytes, ...outcome, durationMs } };
  },
  renderText({ from, to, dryRun, mode, cost, copied, copiedBytes, present, repaired, unproven, durationMs }, out) {
    const keys = mode === 'as-is' ? `with id and keys of ${from}` : `under the keys of ${to}`;
    if (dryRun) {
      const things = mode === 'as-is' ? 'objects' : 'backups and WAL files';
      out.line(`would copy ${cost.objects} ${things}, ${formatSize(cost.bytes)}, from ${from} to ${to}, ${keys}`);
      return;
    }
    out.line(
      `copied ${counted(copied + unproven, 'object')}, ${formatSize(copiedBytes)}, from ${from} to ${to}, ${keys}, in ${formatDuration(durationMs)}; ${present} were there`,
    );
    if (repaired > 0) out.line(`replaced ${repaired} that were damaged at the target`);
  },
});
