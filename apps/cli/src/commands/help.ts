import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'help',
  summary: 'Show all commands, or one with its options, examples and exit statuses',
  examples: [{ run: 'keyframe help' }, { run: 'keyframe help wal push' }],
  positionals: [
    { name: 'command', description: 'the command, or the first word of several', optional: true },
    { name: 'subcommand', description: 'its second word', optional: true },
  ],
  options: {},
  exits: { 0: 'printed', ...FAULT_EXITS },
  async run({ positionals: { command: first, subcommand: second } }) {
    const { KeyframeError } = await import('@keyframe/contracts');
    const { renderHelp, renderOverview } = await import('../command-line/help.ts');
    const { loadAll } = await import('../run.ts');
    const { COMMANDS } = await import('./index.ts');
    const { createTextOutput } = await import('../output/text.ts');
    const commands = await loadAll(COMMANDS);
    const name = [first, second].filter((word) => word !== undefined).join(' ');
    let help = '';
    const out = createTextOutput((text) => {
      help += text;
    }, false);
    const found = commands.find((each) => each.name === name);
    if (found !== undefined) renderHelp(found, out);
    else if (name === '' || commands.some((each) => each.name.startsWith(`${name} `)))
      renderOverview(commands, name === '' ? undefined : name, out);
    else
      throw new KeyframeError('INVALID_OPTION', `there is no command ${JSON.stringify(name)}`, {
        hint: 'Run `keyframe help` to see all commands.',
      });
    return { exit: 0, report: { command: name, help } };
  },
  renderText(report, out) {
    out.line(report.help.trimEnd());
  },
});
