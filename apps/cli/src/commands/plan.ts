import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { renderEffects } from '../output/effects-report.ts';
import { lostWith } from '../output/left-out-stores.ts';
import { renderArchived, withoutKeys } from '../output/archived-report.ts';
import { renderPlan } from '../output/plan-report.ts';
import { TARGET_OPTIONS, targetInput } from './target-options.ts';

export const command: Command = defineCommand({
  name: 'plan',
  summary: 'Show which backup and WAL a recovery would use and where exactly it would stop; changes nothing',
  description: `Reads the WAL between the backup and the target, so what it says is proven: the exact record at which PostgreSQL will stop, the last transaction that is kept and the first that is lost.

It also tells which transactions and rows are kept and which are lost up to the end of the archive, as \`keyframe log\` reads them, and where else one might stop. \`--no-effects\` leaves that out.

A target that cannot be reached is refused here, with the nearest one that can.`,
  examples: [
    { run: 'keyframe plan --time "2026-11-24 14:36:58+01"' },
    { run: 'keyframe plan --before-xid 7431', note: 'just before the commit of transaction 7431' },
    { run: 'keyframe plan --latest --json' },
  ],
  positionals: [],
  options: {
    ...TARGET_OPTIONS,
    noEffects: {
      kind: 'boolean',
      flag: '--no-effects',
      description: 'do not tell which transactions and rows that keeps and loses',
    },
  },
  exits: { 0: 'the target can be reached', 4: 'something in the repository is damaged', ...FAULT_EXITS },
  async run({ openApp, options, signal, log, progress }) {
    const { archivedPacks, describeEffects, describePlan, openIndexCache, parseTarget, planEffects, planRecovery } =
      await import('@keyframe/engine');
    const { showEvents } = await import('../output/events.ts');
    const { localZone } = await import('../output/zone.ts');
    const app = await openApp({ everyStore: true, withoutStores: options.withoutStore });
    const lost = lostWith(app, options.withoutStore);
    for (const line of lost) log.warn(line);
    const { id } = await app.repository.identity({ signal });
    const target = parseTarget(targetInput(options), { localZone: localZone(), now: app.host.now });
    const shown = showEvents(progress, log);
    const plan = await planRecovery(
      { history: app.repository.cluster(app.clusterName) },
      { target, backup: options.backup },
      { signal, onEvent: shown.onEvent },
    );
    const cache = openIndexCache(app.stateDirectory, id, plan.archive);
    const effects = options.noEffects ? undefined : await planEffects(plan, { signal, onEvent: shown.onEvent, cache });
    const stores = app.rawStores.filter(({ name }) => !options.withoutStore.includes(name));
    const archived = await archivedPacks(stores, plan, { signal });
    shown.finish();
    const report = {
      ...describePlan(plan),
      archived: archived && withoutKeys(archived),
      withoutStores: options.withoutStore,
      mayBeMissing: lost,
      effects: effects === undefined ? undefined : describeEffects(effects),
    };
    return { exit: 0, report };
  },
  renderText(report, out) {
    renderPlan(report, out);
    if (report.archived !== undefined) renderArchived(report.archived, out);
    if (report.effects !== undefined) renderEffects(report.effects, out);
  },
});
