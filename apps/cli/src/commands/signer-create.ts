import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'signer create',
  summary: 'Make a key with which this host signs what it writes to a repository',
  description: `Writes a new Ed25519 private key to a file that only its owner may read, and prints the public key. Nothing is written to the repository; the next backup puts the public key there.

Name the file in the config file of the host that takes backups, and the public key in that of every host that verifies or restores.`,
  examples: [{ run: 'keyframe signer create --to /etc/keyframe/signing.key' }],
  positionals: [],
  options: {
    to: {
      kind: 'string',
      flag: '--to',
      value: 'file',
      required: true,
      description: 'where to write the private key; an existing file is never replaced',
    },
  },
  exits: { 0: 'the key is written', ...FAULT_EXITS },
  async run({ options, cwd }) {
    const [{ createSigningKey }, path] = await Promise.all([import('@keyframe/engine'), import('node:path')]);
    const file = path.resolve(cwd, options.to);
    const { keyId, publicKey } = await createSigningKey(file);
    return { exit: 0, report: { file, keyId, publicKey } };
  },
  renderText({ file, publicKey }, out) {
    out.line(`${out.style('good', 'written')}: ${file}`);
    out.line();
    out.line('In the config file of this host:');
    out.line();
    out.line('    signing:');
    out.line(`      key: "\${file:${file}}"`);
    out.line(`      trusted: [ "${publicKey}" ]`);
    out.line();
    out.line('On hosts that verify or restore, `trusted` alone. Keep a copy of the public key outside the repository.');
  },
});
