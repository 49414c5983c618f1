import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

const SHELLS = ['bash', 'zsh', 'fish', 'powershell'] as const;

export const command: Command = defineCommand({
  name: 'completion',
  summary: 'Print a script that completes commands and options in your shell',
  examples: [
    { run: 'source <(keyframe completion bash)', note: 'in ~/.bashrc' },
    { run: 'keyframe completion fish > ~/.config/fish/completions/keyframe.fish' },
  ],
  positionals: [{ name: 'shell', description: `one of ${SHELLS.join(', ')}` }],
  options: {},
  exits: { 0: 'the script is on stdout', ...FAULT_EXITS },
  async run({ positionals }) {
    const { KeyframeError } = await import('@keyframe/contracts');
    const { completionScript } = await import('../command-line/completion.ts');
    const shell = SHELLS.find((known) => known === positionals.shell);
    if (shell === undefined)
      throw new KeyframeError('INVALID_OPTION', `there is no completion for ${JSON.stringify(positionals.shell)}`, {
        hint: `Use \`keyframe completion\` with one of ${SHELLS.join(', ')}.`,
      });
    return { exit: 0, report: { shell, script: completionScript(shell) } };
  },
  renderText(report, out) {
    out.line(report.script);
  },
});
