import { KeyframeError } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { renderReplication, replicationOf } from '../output/replication-report.ts';

export const command: Command = defineCommand({
  name: 'replication apply',
  summary: 'Have the buckets copy themselves to another place',
  description: `Sends what \`keyframe replication plan\` shows to every store whose options name a destination.`,
  examples: [{ run: 'keyframe replication apply' }],
  positionals: [],
  options: {},
  exits: { 0: 'applied', ...FAULT_EXITS },
  async run({ openApp, signal }) {
    const { rawStores } = await openApp();
    const able = (await replicationOf(rawStores, { signal })).filter(({ plan }) => plan?.problems.length === 0);
    if (able.length === 0)
      throw new KeyframeError('UNSUPPORTED', 'no store of this repository has a replication that could be set up', {
        hint: 'Look at what is missing with `keyframe replication plan`, or add a second store under `stores`.',
      });
    for (const { name } of able)
      await rawStores.find((each) => each.name === name)?.store.replication?.apply({ signal });
    return { exit: 0, report: { stores: await replicationOf(rawStores, { signal }) } };
  },
  renderText: ({ stores }, out) => renderReplication(stores, out),
});
