import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'repository rebuild',
  summary: 'Find backups whose record or manifest is lost, and bring back those of which a copy survives',
  description: `Every backup keeps its manifest twice: as an object, and in the tail of the pack that was written last. This looks at every label of the cluster, and with --apply writes what is lost anew, the record last. A backup comes back when its manifest, all packs and the WAL from its start to its stop are there.

What is damaged under the name of a record or manifest is replaced; nothing else is touched. What \`keyframe expire\` has marked is left alone.`,
  examples: [
    { run: 'keyframe repository rebuild', note: 'say what is lost and what can return' },
    { run: 'keyframe repository rebuild --apply' },
  ],
  positionals: [],
  options: { apply: { kind: 'boolean', flag: '--apply', description: 'bring back what can return' } },
  exits: {
    0: 'nothing is lost, or all of it is back',
    3: 'something is lost: without --apply it may return, with --apply it did not',
    ...FAULT_EXITS,
  },
  async run({ openApp, options, signal }) {
    const { rebuild } = await import('@keyframe/engine');
    const app = await openApp();
    await app.repository.identity({ signal });
    const history = app.repository.cluster(app.clusterName);
    const backups = await rebuild({ history }, { apply: options.apply }, { signal });
    const left = backups.some(({ outcome }) => outcome !== 'brought-back');
    return { exit: left ? 3 : 0, report: { cluster: app.clusterName, applied: options.apply, backups } };
  },
  renderText({ applied, backups }, out) {
    if (backups.length === 0) out.line('nothing is lost: every backup has its record and its manifest');
    out.table(
      ['backup', 'lost', 'verdict'],
      backups.map(({ label, lost, verdict, detail, outcome, fault }) => [
        label,
        lost.join(', '),
        outcome === 'brought-back'
          ? 'is back'
          : (fault ?? detail ?? (verdict === 'can-return' ? 'can return' : verdict)),
      ]),
    );
    if (!applied && backups.some(({ verdict }) => verdict === 'can-return'))
      out.line('bring back what can return with: keyframe repository rebuild --apply');
  },
});
