/** Brings every store up to what the others hold. @packageDocumentation */
import type { Abortable } from '@keyframe/contracts';
import { type CatchUp, perform, repair } from './catch-up.ts';
import type { CheckObject } from './copy-object.ts';
import { faultOf, type Member } from './member.ts';
import type { Mirror } from './mirror.ts';
import { listCopies } from './union-list.ts';
import { askAll, compareStores, type Difference, type Outside, outsideOf } from './status.ts';

/** How the stores are brought up. */
export interface SyncOptions extends Abortable {
  /** Read and prove every object of every store, too: what is damaged without being shorter. Default false. */
  readonly verify?: boolean | undefined;
  readonly onProgress?: ((done: { readonly objects: number; readonly key: string }) => void) | undefined;
}

/** What was brought up, and what was not. */
export interface SyncReport {
  readonly copied: number;
  readonly removed: number;
  readonly repaired: number;
  /** Keys under which stores hold different objects; none of them was changed. */
  readonly conflicts: readonly string[];
  /** What could not be brought up, one line each. */
  readonly faults: readonly {
    readonly key: string;
    readonly store: string;
    readonly code: string;
    readonly message: string;
  }[];
  /** Stores that could not be brought up at all, with the same words as in a status. */
  readonly outside: readonly {
    readonly store: string;
    readonly health: Outside;
    readonly message: string;
    readonly hint: string | undefined;
  }[];
}

const SHORT_LIVED = /^(?:leases|doctor)\//u;
/** What makes a backup count comes after what it counts on, so that a store never shows a backup that is not whole. */
const LAST = /\/backup\.json$/u;

/**
 * First what the journal says, removals among it; then whatever the listings differ in. Needs no journal of its own: run
 * again, it finds what is left.
 */
export async function synchronize(
  mirror: Mirror,
  { catchUp, check }: { readonly catchUp: CatchUp; readonly check: CheckObject },
  { signal, onProgress, verify = false }: SyncOptions = {},
): Promise<SyncReport> {
  await mirror.ready();
  const outside = [...(await askAll(mirror))].map(([{ name: store }, fault]) => {
    const { message, hint } = fault;
    return { store, health: outsideOf(fault), message, hint };
  });
  const journal = await catchUp.run(signal);
  const counted = { copied: journal.copied, removed: journal.removed, repaired: journal.repaired };
  const conflicts = new Set(journal.conflicts);
  const faults: SyncReport['faults'][number][] = [];
  let objects = 0;
  const attempt = async (key: string, member: Member, work: () => Promise<string>): Promise<void> => {
    try {
      const outcome = await work();
      if (outcome === 'copied') counted.copied += 1;
      if (outcome === 'repaired') counted.repaired += 1;
      if (outcome === 'conflict') conflicts.add(key);
    } catch (error) {
      signal?.throwIfAborted();
      const { code, message } = faultOf(error);
      faults.push({ key, store: member.name, code, message });
    }
    onProgress?.({ objects: (objects += 1), key });
  };
  const handle = async ({ key, copies, lacking, sizesDiffer }: Difference): Promise<void> => {
    for (const member of lacking)
      await attempt(key, member, () => perform(mirror, check, { member, key, task: 'copy', signal }));
    if (!sizesDiffer) return;
    for (const member of copies.keys()) {
      const others = [...copies.keys()].filter((other) => other !== member);
      await attempt(key, member, () => repair(mirror, check, { member, key, task: 'repair', signal }, others));
    }
  };
  const last: Difference[] = [];
  await compareStores(
    mirror,
    async (difference) => {
      if (LAST.test(difference.key)) last.push(difference);
      else await handle(difference);
    },
    { signal },
  );
  for (const difference of last) await handle(difference);
  if (verify)
    for await (const { key, copies } of listCopies(mirror, '', signal)) {
      if (SHORT_LIVED.test(key)) continue;
      for (const member of copies.keys()) {
        const others = [...copies.keys()].filter((other) => other !== member);
        await attempt(key, member, () => repair(mirror, check, { member, key, task: 'repair', signal }, others));
      }
    }
  return { ...counted, conflicts: [...conflicts], faults, outside };
}
