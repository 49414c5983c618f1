import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatTime } from '../output/format.ts';
import { heldThing } from '../output/hold-text.ts';

export const command: Command = defineCommand({
  name: 'hold list',
  summary: 'List what is kept whatever the retention rules say',
  examples: [{ run: 'keyframe hold list' }],
  positionals: [],
  options: {},
  exits: { 0: 'listed; also when there is none', ...FAULT_EXITS },
  async run({ openApp, signal }) {
    const { listHolds } = await import('@keyframe/engine');
    const app = await openApp();
    await app.repository.identity({ signal });
    const history = app.repository.cluster(app.clusterName);
    const holds = await listHolds({ history, now: app.host.now }, { signal });
    return { exit: 0, report: { cluster: app.clusterName, holds } };
  },
  renderText({ holds }, out) {
    if (holds.length === 0) out.line('no hold: the retention rules alone decide');
    out.table(
      ['hold', 'keeps', 'until (UTC)', 'reason'],
      holds.map((hold) => [
        String(hold.id),
        heldThing(hold),
        hold.until === undefined ? 'it is removed' : `${formatTime(hold.until)}${hold.active ? '' : ' (ended)'}`,
        hold.reason,
      ]),
      { right: [0] },
    );
  },
});
