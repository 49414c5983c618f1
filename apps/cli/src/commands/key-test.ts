import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { renderNoKeys } from '../output/key-table.ts';

export const command: Command = defineCommand({
  name: 'key test',
  summary: 'Prove which keys open the repository',
  description:
    'Unwraps every slot for which this configuration has a key, and proves that what is in it are the keys that objects are written with. Slots that cannot be tried here are named with the reason: run it where their private keys are, the safe included.',
  examples: [{ run: 'keyframe key test' }],
  positionals: [],
  options: {},
  exits: {
    0: 'every slot that could be tried opens the repository, and at least one was',
    3: 'nothing is proven: no slot could be tried here, or the repository has no keys at all',
    4: 'a slot fails',
    ...FAULT_EXITS,
  },
  async run({ openApp, signal }) {
    const app = await openApp();
    await app.repository.identity({ signal });
    const slots = await app.repository.keys.test({ signal });
    const count = (result: string): number => slots.filter((each) => each.result === result).length;
    const exit = count('opens') === 0 ? 3 : 0;
    const report = { repository: app.repositoryName, encrypted: slots.length > 0, slots };
    return { exit: count('fails') > 0 ? 4 : exit, report };
  },
  renderText({ repository, encrypted, slots }, out) {
    if (!encrypted) {
      renderNoKeys(repository, out);
      return;
    }
    const styles = { opens: 'good', fails: 'bad', 'not-tested': 'warning' } as const;
    out.table(
      ['generation', 'slot', 'kind', 'key id', 'result'],
      slots.map(({ generation, slot, encryptor = '', keyId = '', result, reason }) => [
        String(generation),
        slot,
        encryptor,
        keyId,
        `${out.style(styles[result], result)}${reason === undefined ? '' : `: ${reason}`}`,
      ]),
      { right: [0] },
    );
  },
});
