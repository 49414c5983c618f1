import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { renderSlots } from '../output/key-table.ts';

export const command: Command = defineCommand({
  name: 'key add',
  summary: 'Let every key of the configuration open the repository',
  description: `Makes a slot for each entry of \`repositories.<name>.encrypt\` that has none yet. No data is uploaded. Another entry of the configuration must open the repository here, since what it opens is what the new slot gets.

In a repository without encryption it begins the first generation: what is written from then on is encrypted, and what is there stays as it is, readable without a key.

Then run \`keyframe key test\`, on every host that shall be able to read.`,
  examples: [{ run: 'keyframe key add', note: 'after another key was named in the config file' }],
  positionals: [],
  options: {},
  exits: { 0: 'every key of the configuration has a slot', 4: 'what is there is damaged', ...FAULT_EXITS },
  async run({ openApp, signal }) {
    const app = await openApp();
    await app.repository.identity({ signal });
    const added = await app.repository.keys.add({ signal });
    return { exit: 0, report: { repository: app.repositoryName, added } };
  },
  renderText({ repository, added }, out) {
    if (added.length === 0) out.line(`every key of the configuration opens ${repository} already`);
    else renderSlots(added, out);
  },
});
