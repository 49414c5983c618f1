import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { renderSlots } from '../output/key-table.ts';

export const command: Command = defineCommand({
  name: 'key rotate',
  summary: 'Begin a generation of new keys for what is written from now on',
  description: `Makes a new key pair and a new index key, opened by the same slots, and uploads nothing else. What was written before stays as it is and stays readable; running processes go on with the keys they began with.

Every slot in use must be in this configuration: of gpg and age the public keys are enough. One entry must open the repository here.

A host with an \`indexKey\` goes on under the generation before, with a warning, until it gets the new one: run \`keyframe key export-index\` and bring it there.`,
  examples: [{ run: 'keyframe key rotate' }],
  positionals: [],
  options: {},
  exits: { 0: 'the new generation is in use', 4: 'what is there is damaged', ...FAULT_EXITS },
  async run({ openApp, signal }) {
    const app = await openApp();
    await app.repository.identity({ signal });
    const { generations, slots } = await app.repository.keys.rotate({ signal });
    return { exit: 0, report: { repository: app.repositoryName, generations, slots } };
  },
  renderText({ slots }, out) {
    renderSlots(slots, out);
    out.line('Hosts with an `indexKey` need the new one: keyframe key export-index --to FILE');
  },
});
