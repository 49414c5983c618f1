import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatTime } from '../output/format.ts';

export const command: Command = defineCommand({
  name: 'signer list',
  summary: 'List the hosts that sign what they write to the repository',
  description:
    'trusted: named in the config file, or vouched for by such a key. first-use: the config file names none, so the repository itself is believed. foreign: nobody vouches for it, and what it signed is refused.',
  examples: [{ run: 'keyframe signer list' }],
  positionals: [],
  options: {},
  exits: { 0: 'listed; also when there is none', ...FAULT_EXITS },
  async run({ openApp, signal }) {
    const app = await openApp();
    await app.repository.identity({ signal });
    return { exit: 0, report: { signers: await app.repository.signers.list({ signal }) } };
  },
  renderText({ signers }, out) {
    if (signers.length === 0) out.line('nobody signs: run keyframe signer create');
    out.table(
      ['public key', 'trust', 'name', 'since', 'by'],
      signers.map((each) => [
        each.publicKey,
        each.trust,
        each.name,
        formatTime(each.createdAt),
        each.introducedBy === each.keyId ? 'itself' : each.introducedBy,
      ]),
    );
  },
});
