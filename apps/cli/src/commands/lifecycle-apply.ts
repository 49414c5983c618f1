import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { lifecycleContext, renderLifecycle, shownLifecycle } from '../output/lifecycle-report.ts';

export const command: Command = defineCommand({
  name: 'lifecycle apply',
  summary: 'Put the rules into the buckets, and mark what can wait in an archive',
  description: `Does what \`keyframe lifecycle plan\` shows. Run it again after backups, e.g. weekly: what only old backups need then changes with them. Interrupted, the next run does the rest.

Needs the right to change the bucket's rules; \`keyframe setup --store\` prints the role.`,
  examples: [{ run: 'keyframe lifecycle apply' }],
  positionals: [],
  options: {},
  exits: { 0: 'done, or nothing was to be done', ...FAULT_EXITS },
  async run({ openApp, signal }) {
    const { applyLifecycle, planLifecycle } = await import('@keyframe/engine');
    const app = await openApp();
    const context = lifecycleContext(app);
    const plans = await planLifecycle(context, { signal });
    const done = await applyLifecycle(plans, context, { signal });
    return {
      exit: 0,
      report: { repository: app.repositoryName, stores: plans.map(shownLifecycle), done },
    };
  },
  renderText(report, out) {
    renderLifecycle(report.stores, out);
    out.line();
    for (const { name, rules, moved } of report.done)
      out.line(
        rules + moved === 0
          ? `${name}: nothing was to be done`
          : `${name}: ${rules} rules changed, ${moved} objects marked for the archive`,
      );
  },
});
