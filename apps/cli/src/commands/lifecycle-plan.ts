import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { lifecycleContext, renderLifecycle, shownLifecycle } from '../output/lifecycle-report.ts';

export const command: Command = defineCommand({
  name: 'lifecycle plan',
  summary: 'Show which rules the buckets need, and what can wait in an archive',
  description: `Compares the rules of each bucket with those that Keyframe wants, and names the packs that no backup younger than \`archive.after\` needs. Changes nothing.

No rule removes packs, manifests or WAL by age: the newest backup may need old ones. Only \`keyframe expire\` removes them. Rules of others stay as they are.`,
  examples: [{ run: 'keyframe lifecycle plan' }, { run: 'keyframe lifecycle plan --json' }],
  positionals: [],
  options: {},
  exits: { 0: 'everything is as it should be', 3: 'there is something to apply', ...FAULT_EXITS },
  async run({ openApp, signal }) {
    const { planLifecycle } = await import('@keyframe/engine');
    const app = await openApp();
    const stores = await planLifecycle(lifecycleContext(app), { signal });
    const open = stores.some(({ missing, obsolete, keys }) => missing.length + obsolete.length + keys.length > 0);
    return {
      exit: open ? 3 : 0,
      report: { repository: app.repositoryName, stores: stores.map(shownLifecycle) },
    };
  },
  renderText(report, out) {
    renderLifecycle(report.stores, out);
  },
});
