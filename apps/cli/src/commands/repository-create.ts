import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'repository create',
  summary: 'Create the repository in its store, or confirm the one that is there',
  description: `Writes keyframe.json, by which a store is known as this repository. Nothing else ever creates it: a backup or an archive_command that meets an empty store, such as a file system that is not mounted, fails instead of starting over in the wrong place.

\`keyframe setup --apply\` does this too.`,
  examples: [{ run: 'keyframe repository create' }],
  positionals: [],
  options: {},
  exits: { 0: 'the repository is there', 4: 'what is there is damaged', ...FAULT_EXITS },
  async run({ openApp, signal }) {
    const app = await openApp();
    const { id, format, createdAt } = await app.repository.init({ signal });
    return { exit: 0, report: { repository: app.repositoryName, id, format, createdAt } };
  },
  renderText({ repository, id, createdAt }, out) {
    out.line(`repository ${out.style('strong', repository)} is there: id ${id}, created ${createdAt}`);
  },
});
