import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { renderTimelineTree } from '../output/timeline-tree.ts';

export const command: Command = defineCommand({
  name: 'wal timelines',
  summary: 'Draw the tree of timelines: where they fork, which backups lie on them, which can be recovered',
  description:
    'A promotion, a recovery to a moment and an adoption each begin a timeline. What the old one wrote after the fork stays a branch of its own, to be followed with --timeline.',
  examples: [{ run: 'keyframe wal timelines' }, { run: 'keyframe wal timelines --json' }],
  positionals: [],
  options: {},
  exits: {
    0: 'every timeline can be recovered to its end',
    3: 'one of them cannot, or only up to a gap',
    ...FAULT_EXITS,
  },
  async run({ openApp, signal, log, progress }) {
    const { archiveAt, timelineTree } = await import('@keyframe/engine');
    const { showEvents } = await import('../output/events.ts');
    const app = await openApp();
    const archive = await archiveAt(app.repository, app.clusterName, undefined, { signal });
    const { onEvent } = showEvents(progress, log);
    const tree = await timelineTree(archive, { signal, onEvent });
    const isWhole = tree.timelines.every(({ reach }) => reach !== undefined && reach.gap === undefined);
    return { exit: isWhole ? 0 : 3, report: { cluster: app.clusterName, ...tree } };
  },
  renderText(report, out) {
    out.fields([
      ['cluster', `${report.cluster} (epoch ${report.epoch}, system identifier ${report.systemIdentifier})`],
    ]);
    out.line();
    renderTimelineTree(report, out);
  },
});
