import { KeyframeError } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { describeHold } from '../output/hold-text.ts';

export const command: Command = defineCommand({
  name: 'hold add',
  summary: 'Keep a backup, or every moment of a range, whatever the retention rules say',
  description: `With a label it keeps that backup as it was when it ended; --wal keeps every moment after it, too. With --from and --to it keeps every moment between: the backup that leads there and the WAL, on every timeline.

Without --until the hold lasts until \`keyframe hold remove\`.`,
  examples: [
    { run: 'keyframe hold add 20261124T051750Z-full --reason "before the migration" --until 90d' },
    { run: 'keyframe hold add --from "2026-11-24 00:00+01" --to "2026-11-25 00:00+01" --reason audit' },
  ],
  positionals: [{ name: 'label', description: 'label of the backup', optional: true }],
  options: {
    from: { kind: 'string', flag: '--from', value: 'time', description: 'first moment to keep, with its offset' },
    to: { kind: 'string', flag: '--to', value: 'time', description: 'last moment to keep' },
    wal: { kind: 'boolean', flag: '--wal', description: 'with a label: keep every moment after the backup, too' },
    until: {
      kind: 'string',
      flag: '--until',
      value: 'time',
      description: 'when the hold ends: a time, a date or a duration such as 90d',
    },
    reason: { kind: 'string', flag: '--reason', value: 'text', default: 'none given', description: 'why, for others' },
  },
  exits: { 0: 'held', ...FAULT_EXITS },
  async run({ openApp, options, positionals, signal }) {
    const { readTime, readUntil } = await import('../command-line/times.ts');
    const { addHold } = await import('@keyframe/engine');
    const { label } = positionals;
    const { from, to } = options;
    const isRange = from !== undefined && to !== undefined;
    if ((label === undefined) !== isRange || (from === undefined) !== (to === undefined))
      throw new KeyframeError('INVALID_OPTION', 'a hold is of one backup, or of a range of time', {
        hint: 'Give the label of a backup, or both --from and --to.',
      });
    const app = await openApp();
    await app.repository.identity({ signal });
    const now = app.host.now();
    const request = {
      ...(label === undefined ? {} : { label }),
      ...(isRange ? { from: readTime('--from', from), to: readTime('--to', to) } : {}),
      ...(options.until === undefined ? {} : { until: readUntil('--until', options.until, now) }),
      wal: options.wal,
      reason: options.reason,
    };
    const history = app.repository.cluster(app.clusterName);
    const hold = await addHold({ history, now: app.host.now }, request, { signal });
    return { exit: 0, report: { cluster: app.clusterName, hold } };
  },
  renderText({ hold }, out) {
    out.line(`${out.style('good', 'held')}: ${describeHold(hold)}`);
    out.line('`keyframe expire --dry-run` shows what it keeps.');
  },
});
