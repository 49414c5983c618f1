import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { renderNoKeys, renderSlots } from '../output/key-table.ts';

export const command: Command = defineCommand({
  name: 'key list',
  summary: 'List the keys that open a repository',
  description: `A generation is what objects are written with from one moment on: a key pair and an index key. A slot holds the secrets of a generation, and of all before it, wrapped by one key of \`repositories.<name>.encrypt\`. Any one slot opens the repository.

Slots of a passphrase are read-write by nature: whoever can write by it can read. Slots for gpg and age recipients let a host write that has the public key and the index key, and read nothing.

The last column says what this host can do. Passphrases are tried; private keys are tried by \`keyframe key test\` alone, since that may ask for a PIN.`,
  examples: [{ run: 'keyframe key list' }, { run: 'keyframe key list --json' }],
  positionals: [],
  options: {},
  exits: { 0: 'listed; also when there is none', 4: 'what is there is damaged', ...FAULT_EXITS },
  async run({ openApp, signal }) {
    const app = await openApp();
    await app.repository.identity({ signal });
    const { generations, slots } = await app.repository.keys.list({ signal });
    return {
      exit: 0,
      report: { repository: app.repositoryName, encrypted: generations.length > 0, generations, slots },
    };
  },
  renderText({ repository, encrypted, generations, slots }, out) {
    if (!encrypted) {
      renderNoKeys(repository, out);
      return;
    }
    renderSlots(slots, out);
    for (const { createdAt } of generations.filter(({ plainBefore }) => plainBefore))
      out.line(out.style('dim', `what was written before ${createdAt} may be without encryption`));
  },
});
