import { hasCode } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { renderExpiry } from '../output/expiry-report.ts';

export const command: Command = defineCommand({
  name: 'expire',
  summary: 'Remove backups and WAL that the retention rules no longer want',
  description: `Works in two steps. What no rule of \`retention\` wants is first only marked: it is hidden from list, plan and restore, and \`keyframe undelete\` brings it back. What was marked longer ago than the grace period (default 24h), and is still needed by nobody, is removed. So one run a day is enough, and no run removes what was never announced.

What a running backup, a restore of the last day or a hold needs stays, and so does always the newest backup that can be restored. Timeline histories are kept for ever.

--dry-run changes nothing. Both say which moments could be recovered before and which can be afterwards.`,
  examples: [
    { run: 'keyframe expire --dry-run', note: 'what would go, and what could still be recovered' },
    { run: 'keyframe expire', note: 'once a day, from a timer' },
  ],
  positionals: [],
  options: { dryRun: { kind: 'boolean', flag: '--dry-run', description: 'say what would be done and change nothing' } },
  exits: {
    0: 'done; also when nothing had to be done',
    3: 'nothing was marked or removed, because something stands in the way; the report says what',
    4: 'something in the repository is damaged; nothing was removed',
    5: 'another expiry runs',
    ...FAULT_EXITS,
  },
  exitFor: (error) => (hasCode(error, 'RETENTION_MISSING') ? 2 : undefined),
  async run({ openApp, options, signal, log, progress }) {
    const { policyOf } = await import('../retention-policy.ts');
    const engine = await import('@keyframe/engine');
    const { showEvents } = await import('../output/events.ts');
    const app = await openApp();
    const policy = policyOf(app);
    const { mirror } = app;
    await app.repository.identity({ signal });
    const context = {
      repository: app.repository,
      history: app.repository.cluster(app.clusterName),
      clusterName: app.clusterName,
      holder: await engine.thisProcess('keyframe expire'),
      stateOf: engine.holderState,
      now: app.host.now,
      ...(mirror === undefined ? {} : { blocks: () => engine.mirrorBlocks(mirror, { signal }) }),
    };
    const shown = showEvents(progress, log);
    const stage = { signal, onEvent: shown.onEvent };
    const outcome = options.dryRun
      ? await engine.previewExpiry(context, policy, stage)
      : await engine.applyExpiry(context, policy, stage);
    shown.finish();
    const report = {
      cluster: app.clusterName,
      repository: app.repositoryName,
      dryRun: options.dryRun,
      policy,
      ...engine.describeExpiry(outcome),
    };
    return { exit: report.blocks.length > 0 ? 3 : 0, report };
  },
  renderText: renderExpiry,
});
