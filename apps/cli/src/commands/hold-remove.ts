import { KeyframeError } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { describeHold } from '../output/hold-text.ts';

export const command: Command = defineCommand({
  name: 'hold remove',
  summary: 'End a hold',
  description: 'What it kept is again subject to the retention rules: the next `keyframe expire` may mark it.',
  examples: [{ run: 'keyframe hold remove 3' }],
  positionals: [{ name: 'id', description: 'number of the hold, as `keyframe hold list` shows it' }],
  options: {},
  exits: { 0: 'removed', ...FAULT_EXITS },
  async run({ openApp, positionals, signal }) {
    const { removeHold } = await import('@keyframe/engine');
    if (!/^[1-9]\d{0,8}$/u.test(positionals.id))
      throw new KeyframeError('INVALID_OPTION', `${JSON.stringify(positionals.id)} is no number of a hold`, {
        hint: 'Run `keyframe hold list` to see the numbers.',
      });
    const app = await openApp();
    await app.repository.identity({ signal });
    const history = app.repository.cluster(app.clusterName);
    const hold = await removeHold({ history }, Number(positionals.id), { signal });
    return { exit: 0, report: { cluster: app.clusterName, hold } };
  },
  renderText({ hold }, out) {
    out.line(`removed: ${describeHold(hold)}`);
  },
});
