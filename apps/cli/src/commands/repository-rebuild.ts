import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'repository rebuild',
  summary: 'Find backups whose record or manifest is lost, and bring back those of which a copy survives',
  description: `Every backup keeps its manifest twice: as an object, and in the tail of the pack that was written last. This looks at every label of the cluster, and with --apply writes what is lost anew, the record last. A backup comes back when its manifest, all packs and the WAL from its start to its stop are there.

Where keyframe.json or the record of an epoch is lost, of this cluster or of another, it is made anew first, from what packs, manifests and WAL files say of the repository and the server they belong to; what they do not say is named.

What is damaged under the name of a record or manifest is replaced; nothing else is touched. A backup that \`keyframe expire\` has marked or removed is no loss: it is named and left out, although packs of it may live on for younger ones.`,
  examples: [
    { run: 'keyframe repository rebuild', note: 'say what is lost and what can return' },
    { run: 'keyframe repository rebuild --apply' },
  ],
  positionals: [],
  options: {
    apply: { kind: 'boolean', flag: '--apply', description: 'bring back what can return' },
    store: {
      kind: 'string',
      flag: '--store',
      value: 'name',
      description: 'where every one of several stores has lost keyframe.json: bring it back in this one',
    },
  },
  exits: {
    0: 'nothing is lost, or all of it is back',
    3: 'something is lost: without --apply it may return, with --apply it did not',
    ...FAULT_EXITS,
  },
  async run({ openApp, options, signal }) {
    const { rebuild } = await import('@keyframe/engine');
    const { storeNamed } = await import('../output/verify-run.ts');
    const app = await openApp();
    const { clusterName } = app;
    const rootsOnly = options.store !== undefined;
    const repository = rootsOnly ? app.repositoryOver(storeNamed(app, options.store)) : app.repository;
    const history = repository.cluster(clusterName);
    const rebuilt = await rebuild({ repository, history }, { apply: options.apply, rootsOnly }, { signal });
    const isLost = ({ outcome }: { readonly outcome: string }): boolean =>
      outcome !== 'brought-back' && outcome !== 'left-out';
    const left = [...rebuilt.roots, ...rebuilt.backups].some(isLost);
    return {
      exit: left ? 3 : 0,
      report: { cluster: clusterName, store: options.store, applied: options.apply, ...rebuilt },
    };
  },
  renderText({ store, applied, roots, backups, notes }, out) {
    for (const { key, lost, detail, assumed, outcome, fault } of roots) {
      out.line(`${key} ${outcome === 'brought-back' ? 'is back' : `is ${lost}`}: ${fault ?? detail}`);
      for (const each of assumed) out.line(`  not known any more: ${each}`);
    }
    const lost = backups.filter(({ outcome }) => outcome !== 'left-out');
    if (lost.length === 0 && roots.length === 0 && notes.length === 0)
      out.line('nothing is lost: every backup has its record and its manifest');
    out.table(
      ['backup', 'lost', 'verdict'],
      lost.map(({ label, lost: what, verdict, detail, outcome, fault }) => [
        label,
        what.join(', '),
        outcome === 'brought-back'
          ? 'is back'
          : (fault ?? detail ?? (verdict === 'can-return' ? 'can return' : verdict)),
      ]),
    );
    for (const { label, detail, outcome } of backups)
      if (outcome === 'left-out') out.line(out.style('dim', `left out: ${label}: ${detail}`));
    for (const note of notes) out.line(`${out.style('warning', 'note')}: ${note}`);
    const canReturn =
      backups.some(({ verdict }) => verdict === 'can-return') || roots.some(({ outcome }) => outcome === 'found');
    if (!applied && canReturn)
      out.line(
        `bring back what can return with: ${['keyframe repository rebuild --apply', ...(store === undefined ? [] : [`--store ${store}`])].join(' ')}`,
      );
  },
});
