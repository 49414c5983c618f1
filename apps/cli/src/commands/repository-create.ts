import { KeyframeError } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'repository create',
  summary: 'Create the repository in its stores, or confirm the one that is there',
  description: `Writes keyframe.json, by which a store is known as this repository. Nothing else ever creates it: a backup or an archive_command that meets an empty store, such as a file system that is not mounted, fails or does without it instead of starting over in the wrong place.

A store that joins later is made part of the repository by --add-store, and filled by \`keyframe repository sync\`. \`keyframe setup --apply\` creates a repository, too.`,
  examples: [
    { run: 'keyframe repository create' },
    { run: 'keyframe repository create --add-store attic', note: 'a new, empty store of a repository that exists' },
  ],
  positionals: [],
  options: {
    addStore: {
      kind: 'repeatable',
      flag: '--add-store',
      value: 'name',
      description: 'make that empty store part of the repository; repeatable',
    },
  },
  exits: {
    0: 'the repository is there, in every store',
    3: 'it is there, and a store lacks it or cannot be reached',
    4: 'what is there is damaged',
    ...FAULT_EXITS,
  },
  async run({ openApp, options, signal }) {
    const app = await openApp();
    const { mirror } = app;
    if (options.addStore.length > 0 && mirror === undefined)
      throw new KeyframeError('INVALID_OPTION', 'a repository of one store has no other to join', {
        hint: 'Name the new store under `repositories.<name>.stores` first.',
      });
    for (const name of options.addStore) await mirror?.addStore(name, { signal });
    const { id, format, createdAt } = await app.repository.init({ signal });
    await app.repository.signers.announce({ signal });
    const outside = (await mirror?.outside({ signal })) ?? [];
    const { generations } = await app.repository.keys.list({ signal });
    const encrypted = generations.length > 0;
    const report = { repository: app.repositoryName, id, format, createdAt, encrypted, outside };
    return { exit: outside.length === 0 ? 0 : 3, report };
  },
  renderText({ repository, id, createdAt, encrypted, outside }, out) {
    out.line(
      `repository ${out.style('strong', repository)} is there: id ${id}, created ${createdAt}, ${encrypted ? 'encrypted' : 'not encrypted'}`,
    );
    for (const { message, hint } of outside) {
      out.line(`${out.style('bad', 'not part of it')}: ${message}`);
      if (hint !== undefined) out.line(`  ${hint}`);
    }
  },
});
