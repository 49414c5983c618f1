import { counted, type LifecycleRule } from '@keyframe/contracts';
import type { LifecycleContext, StoreLifecycle } from '@keyframe/engine';
import type { App } from '@keyframe/runtime';
import { formatSize } from './format.ts';
import type { TextOutput } from './text.ts';

/** The stores of the repository, and every cluster of the file that lies in it. */
export function lifecycleContext(app: App): LifecycleContext {
  const configured = app.configuration.repositories.get(app.repositoryName)?.stores ?? [];
  const clusters = [...app.configuration.clusters.values()].filter(
    ({ repository }) => repository === app.repositoryName,
  );
  return {
    stores: app.rawStores.map(({ name, store }) => ({
      name,
      store,
      archive: configured.find((each) => each.name === name)?.archive,
    })),
    clusters: clusters.map(({ name }) => app.repository.cluster(name)),
    immutable: app.immutableMs !== undefined,
    now: app.host.now,
  };
}

const ACTIONS = {
  transition: 'move to the archive class',
  'expire-old-versions': 'remove versions that are not the newest',
  'abort-uploads': 'remove uploads that were never finished',
  expire: 'remove',
} as const;

function describeRule({ id, prefix, tag, action }: LifecycleRule): string {
  const what = action.kind === 'transition' ? `move to ${action.storageClass}` : ACTIONS[action.kind];
  const which = tag === undefined ? (prefix === '' ? '' : ` below ${prefix}`) : ` tagged ${tag.key}=${tag.value}`;
  return `${id}: ${what}${which} after ${counted(action.afterDays, 'day')}`;
}

type Shown = Omit<StoreLifecycle, 'keys'>;

/** Without the names of thousands of packs. */
export function shownLifecycle({ name, hasRules, wanted, missing, obsolete, foreign, moves }: StoreLifecycle): Shown {
  return { name, hasRules, wanted, missing, obsolete, foreign, moves };
}

export function renderLifecycle(stores: readonly Shown[], out: TextOutput): void {
  for (const [at, { name, hasRules, wanted, missing, obsolete, foreign, moves }] of stores.entries()) {
    if (at > 0) out.line();
    out.line(out.style('strong', `store ${name}`));
    if (!hasRules) out.line(out.style('dim', '  this kind of store has no rules of its own'));
    for (const rule of wanted)
      out.line(`  ${missing.includes(rule) ? out.style('warning', '+') : ' '} ${describeRule(rule)}`);
    for (const rule of obsolete) out.line(`  ${out.style('bad', '-')} ${describeRule(rule)}`);
    for (const line of foreign) out.line(out.style('dim', `    of others, left alone: ${line}`));
    if (moves.objects > 0)
      out.line(
        `  ${out.style('warning', '+')} ${counted(moves.objects, 'pack')} (${formatSize(moves.bytes)}) that only old backups need go to ${moves.storageClass}`,
      );
  }
}
