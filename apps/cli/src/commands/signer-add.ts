import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'signer add',
  summary: 'Vouch for the signing key of another host, so that it is believed wherever this host is',
  description:
    'Puts the public key into the repository, signed by the key of this host. Use it before the other host writes: once that has put its key there itself, name it under `signing.trusted` instead.',
  examples: [{ run: 'keyframe signer add ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo= --name db2' }],
  positionals: [{ name: 'key', description: 'public key, as `keyframe signer create` printed it there' }],
  options: {
    name: {
      kind: 'string',
      flag: '--name',
      value: 'text',
      default: '',
      description: 'whose key it is, for `signer list`',
    },
  },
  exits: { 0: 'the key is in the repository', ...FAULT_EXITS },
  async run({ openApp, options, positionals, signal }) {
    const app = await openApp();
    const keyId = await app.repository.signers.introduce(positionals.key, options.name, { signal });
    return { exit: 0, report: { repository: app.repositoryName, keyId, publicKey: positionals.key } };
  },
  renderText({ keyId, repository }, out) {
    out.line(`${out.style('good', 'added')}: ${keyId} may sign in ${repository}`);
  },
});
