import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'key remove',
  summary: 'Take a slot out of use',
  description: `The slot opens nothing any more, in any generation. Refused unless another slot is proven here to open the repository: nobody can help once all keys are lost.

It takes nothing back: who held the key may have kept what it opened, or a copy of the slot. What is written from now on is closed to them only after \`keyframe key rotate\`.`,
  examples: [{ run: 'keyframe key remove passphrase' }],
  positionals: [{ name: 'slot', description: 'as `keyframe key list` names it' }],
  options: {},
  exits: { 0: 'out of use', 4: 'what is there is damaged', ...FAULT_EXITS },
  async run({ openApp, positionals, signal }) {
    const app = await openApp();
    await app.repository.identity({ signal });
    const removed = await app.repository.keys.remove(positionals.slot, { signal });
    return { exit: 0, report: { repository: app.repositoryName, slot: positionals.slot, removed } };
  },
  renderText({ slot, removed }, out) {
    out.line(
      `${out.style('good', 'out of use')}: ${slot}, in ${removed.length} ${removed.length === 1 ? 'generation' : 'generations'}`,
    );
    out.line('Who held its key may have kept what it opened: run keyframe key rotate to close what comes to them,');
    out.line('and take the key out of `encrypt` in the config files.');
  },
});
