import type { Abortable } from '@keyframe/contracts';
import type { App } from '@keyframe/runtime';
import type { TextOutput } from './text.ts';

interface StoreReplication {
  readonly name: string;
  /** What is set up now, a line each; `undefined`: the provider has no such thing. */
  readonly now: readonly string[] | undefined;
  readonly plan: { readonly document: string; readonly problems: readonly string[] } | undefined;
}

/** What each store says of copies that its provider makes. */
export async function replicationOf(stores: App['rawStores'], options: Abortable): Promise<StoreReplication[]> {
  return Promise.all(
    stores.map(async ({ name, store: { replication } }) => ({
      name,
      now: await replication?.read(options),
      plan: await replication?.plan(options),
    })),
  );
}

export function renderReplication(stores: readonly StoreReplication[], out: TextOutput): void {
  for (const { name, now, plan } of stores) {
    out.line(out.style('strong', `store ${name}`));
    if (now === undefined || plan === undefined) {
      out.line(out.style('dim', '  this kind of store does not copy itself'));
      continue;
    }
    for (const line of now.length === 0 ? ['no copies are made now'] : now) out.line(`  ${line}`);
    for (const problem of plan.problems) out.line(`  ${out.style('warning', problem)}`);
    for (const line of plan.document.split('\n')) out.line(`  ${line}`);
  }
}
