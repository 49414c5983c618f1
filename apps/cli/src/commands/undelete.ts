import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatTime } from '../output/format.ts';

export const command: Command = defineCommand({
  name: 'undelete',
  summary: 'Bring an expired backup back while its grace period lasts',
  description: `Takes back what \`keyframe expire\` has marked, and puts the backup under a hold so that the next expiry does not mark it again. The WAL after it is kept as well: every moment that could be recovered from it still can.`,
  examples: [
    { run: 'keyframe undelete 20261124T051750Z-full' },
    { run: 'keyframe undelete 20261124T051750Z-full --for 30d' },
  ],
  positionals: [{ name: 'label', description: 'label of the expired backup' }],
  options: {
    for: {
      kind: 'duration',
      flag: '--for',
      value: 'duration',
      default: '7d',
      minimum: 1,
      description: 'how long the hold lasts',
    },
  },
  exits: { 0: 'the backup is back', ...FAULT_EXITS },
  async run({ openApp, options, positionals, signal }) {
    const { undelete } = await import('@keyframe/engine');
    const app = await openApp();
    await app.repository.identity({ signal });
    const until = new Date(app.host.now().getTime() + options.for).toISOString();
    const history = app.repository.cluster(app.clusterName);
    const hold = await undelete({ history }, { label: positionals.label, until }, { signal });
    return { exit: 0, report: { cluster: app.clusterName, label: positionals.label, hold } };
  },
  renderText({ label, hold }, out) {
    out.line(`${out.style('good', 'back')}: ${label}, kept by hold ${hold.id} until ${formatTime(hold.until ?? '')}`);
    out.line(`To keep it longer: keyframe hold add ${label}`);
  },
});
