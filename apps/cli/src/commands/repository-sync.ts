import { KeyframeError } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'repository sync',
  summary: 'Bring every store of the repository up to what the others hold',
  description: `Does first what this host's journal says, removals included, then lists all stores and copies what one lacks. Each object is proven while it is copied; a copy that fails its proof is replaced by one that passes it. Nothing else is ever overwritten.

Interrupted, it can be run again: it goes on with what is left. Archiving and backups do the same in passing, as long as they run; after a long outage this is faster.`,
  examples: [
    { run: 'keyframe repository sync' },
    { run: 'keyframe repository sync --verify', note: 'reads everything: finds damage that no listing shows' },
  ],
  positionals: [],
  options: {
    verify: {
      kind: 'boolean',
      flag: '--verify',
      description: 'read and prove every object of every store, and mend what is damaged',
    },
  },
  exits: {
    0: 'every store holds everything',
    3: 'something could not be brought up; the report says what',
    ...FAULT_EXITS,
  },
  async run({ openApp, options, signal, progress }) {
    const { mirror, repositoryName } = await openApp();
    if (mirror === undefined)
      throw new KeyframeError('INVALID_OPTION', `the repository ${repositoryName} has one store only`, {
        hint: 'Name more under `repositories.<name>.stores`, or copy it with `keyframe copy`.',
      });
    const task = progress.task('bringing up', { unit: 'items' });
    const report = await mirror.sync({
      signal,
      verify: options.verify,
      onProgress: ({ objects, key }) => {
        task.update(objects, undefined);
        task.note(key);
      },
    });
    task.finish();
    const whole = report.faults.length + report.outside.length + report.conflicts.length === 0;
    return { exit: whole ? 0 : 3, report: { repository: repositoryName, ...report } };
  },
  renderText({ copied, removed, repaired, conflicts, faults, outside }, out) {
    out.line(`copied ${copied}, replaced ${repaired} damaged, removed ${removed}`);
    for (const { store, health, message, hint } of outside) {
      out.line(`${out.style('bad', health)} ${store}: ${message}`);
      if (hint !== undefined) out.line(out.style('dim', `  ${hint}`));
    }
    for (const key of conflicts) out.line(`${out.style('bad', 'conflict')} ${key}; none of the objects was changed`);
    for (const { key, store, message } of faults)
      out.line(`${out.style('bad', 'failed')} ${key} on ${store}: ${message}`);
  },
});
