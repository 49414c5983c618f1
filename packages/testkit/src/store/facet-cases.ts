import { hasCode, ignoring, type LifecycleRule, type Store, type StoreRole } from '@keyframe/contracts';
import { textOf } from '@keyframe/contracts/streams';
import { type ContractCase, faultOf, raises, same } from '../contract.ts';
import { type Scope, storeCase } from './scope.ts';

const without = (facet: keyof Store): NonNullable<ContractCase<Store>['needs']> => ({
  reason: `the store has no \`${facet}\``,
  met: (store) => store[facet] !== undefined,
});

/** Servers that speak a protocol do not offer all of it. */
async function offered(ask: () => Promise<unknown>): Promise<boolean> {
  try {
    await ask();
    return true;
  } catch (error) {
    if (hasCode(error, 'UNSUPPORTED')) return false;
    throw error;
  }
}

const hasRules: ContractCase<Store>['needs'] = {
  reason: 'the store has no `lifecycle`, or the server does not offer it',
  met: ({ lifecycle }) => lifecycle !== undefined && offered(() => lifecycle.read()),
};
const replicates: ContractCase<Store>['needs'] = {
  reason: 'the store has no `replication`, or the server does not offer it',
  met: ({ replication }) => replication !== undefined && offered(() => replication.read()),
};

/** The facet, which `needs` has promised. */
function present<T>(facet: T | undefined): T {
  if (facet === undefined) throw new Error('the facet is absent');
  return facet;
}

const locks: ContractCase<Store>['needs'] = {
  reason: 'the store cannot lock objects (no `retention`, or not switched on for the bucket)',
  met: ({ retention }) => retention?.enabled() ?? false,
};

/** Whole seconds, as some backends keep them; short, since a case waits for its own locks to end. */
const soon = (seconds: number): Date => new Date(Math.ceil(Date.now() / 1_000 + seconds) * 1_000);

/** The lock of the case must end before it can clean up. */
async function untilUnlocked({ store }: Scope, key: string): Promise<void> {
  const until = await store.retention?.until(key).catch(ignoring('NOT_FOUND'));
  const waitMs = until === undefined ? 0 : until.getTime() - Date.now() + 1_200;
  if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
}

async function removedForGood(scope: Scope, name: string): Promise<void> {
  const { versions } = scope.store;
  if (versions === undefined) return await scope.store.delete([scope.key(name)]);
  await versions.delete(await Array.fromAsync(versions.list(scope.key(name))));
}

/** Object locks. */
export const retentionCases: readonly ContractCase<Store>[] = [
  storeCase(
    'an object put with a lock cannot be removed before it ends, and the lock can grow but not shrink',
    async (scope) => {
      const retention = present(scope.store.retention);
      const key = scope.key('locked');
      const first = soon(3);
      const later = new Date(first.getTime() + 1_000);
      await scope.store.put(key, textOf('kept'), { ifAbsent: true, retainUntil: first });
      try {
        const at = (await retention.until(key))?.getTime() ?? 0;
        same(at >= first.getTime() && at < first.getTime() + 1_000, true, `locked until ${at}`);
        await raises('ACCESS_DENIED', () => removedForGood(scope, 'locked'));
        await retention.extend(key, later);
        await retention.extend(key, first);
        same(((await retention.until(key))?.getTime() ?? 0) >= later.getTime(), true, 'the longer lock stays');
        await raises('ACCESS_DENIED', () => removedForGood(scope, 'locked'));
        same(await scope.read('locked'), 'kept');
      } finally {
        await untilUnlocked(scope, key);
      }
      await removedForGood(scope, 'locked');
    },
    locks,
  ),
  storeCase(
    'an object without a lock of its own says so',
    async (scope) => {
      await scope.write('free');
      const until = await present(scope.store.retention).until(scope.key('free'));
      // A bucket may prescribe a lock for everything.
      if (until !== undefined) same(Number.isNaN(until.getTime()), false);
    },
    locks,
  ),
];

/** Tags and storage classes. */
export const labelCases: readonly ContractCase<Store>[] = [
  storeCase(
    'tags come back as they were set, and setting replaces them all',
    async (scope) => {
      const tags = present(scope.store.tags);
      await scope.write('t');
      same(JSON.stringify(await tags.of(scope.key('t'))), '{}', 'tags of a new object');
      await tags.set(scope.key('t'), { 'keyframe-tier': 'cold', other: 'a b' });
      const first = await tags.of(scope.key('t'));
      same(`${first['keyframe-tier']},${first['other']}`, 'cold,a b');
      await tags.set(scope.key('t'), { next: '1' });
      same(JSON.stringify(await tags.of(scope.key('t'))), '{"next":"1"}');
      same(await scope.read('t'), 't');
    },
    without('tags'),
  ),
  storeCase(
    'classes have different names, and one of them can be read at once',
    async ({ store }) => {
      const { classes } = present(store.tiers);
      same(new Set(classes.map(({ name }) => name)).size, classes.length, 'different names');
      same(
        classes.some(({ archived }) => !archived),
        true,
        'a class that can be read at once',
      );
      for (const { archived, minimumDays, thawHours } of classes) {
        same(minimumDays >= 0, true, 'minimumDays');
        if (thawHours !== undefined) same(archived, true, 'thawHours without archived');
      }
    },
    without('tiers'),
  ),
  storeCase(
    'a new object can be read, and says which class it is in',
    async (scope) => {
      await scope.write('t');
      const state = await present(scope.store.tiers).state(scope.key('t'));
      same(`${state.readable},${state.thawing}`, 'true,false');
      same(state.storageClass === '', false, 'empty class');
      await raises('NOT_FOUND', () => present(scope.store.tiers).state(scope.key('none')));
    },
    without('tiers'),
  ),
];

const ROLES: readonly StoreRole[] = ['writer', 'restorer', 'pruner', 'owner'];

/** What a store tells of itself, and of its bucket. */
export const tellingCases: readonly ContractCase<Store>[] = [
  {
    name: 'location names the provider and the container',
    needs: without('location'),
    async run({ location }) {
      const { provider, container } = present(location);
      same(provider !== '' && container !== '', true, `${provider} ${container}`);
    },
  },
  {
    name: 'access gives a document for every role',
    needs: without('access'),
    async run({ access }) {
      const documents = ROLES.map((role) => present(access).policy(role));
      for (const { language, document } of documents) {
        same(document.trim() === '', false, 'an empty document');
        if (language === 'json') JSON.parse(document);
      }
      same(documents[0]?.document === documents[3]?.document, false, 'the same document for writer and owner');
    },
  },
  {
    name: 'replication can be read and planned without a change',
    needs: replicates,
    async run({ replication }) {
      const before = await present(replication).read();
      const { document, problems } = await present(replication).plan();
      same(document !== '' || problems.length > 0, true, 'a document, or why there is none');
      same((await present(replication).read()).join('\n'), before.join('\n'));
    },
  },
  storeCase(
    'an object is encrypted as the options ask, and the store tells how',
    async (scope) => {
      const { wanted, of, matches } = bound(scope.store);
      await scope.write('e');
      const found = await of(scope.key('e'));
      if (wanted !== undefined) same(found !== undefined && matches(found), true, `${wanted.method} is asked for`);
      await raises('NOT_FOUND', () => of(scope.key('none')));
    },
    without('atRest'),
  ),
  storeCase(
    'what a facet would do is refused where there is no such facet',
    async (scope) => {
      const options = [
        ...(scope.store.retention === undefined ? [{ retainUntil: new Date(Date.now() + 60_000) }] : []),
        ...(scope.store.tiers === undefined ? [{ storageClass: 'NO-SUCH-CLASS' }] : []),
      ];
      for (const wish of options) await raises('UNSUPPORTED', () => scope.store.put(scope.key('f'), textOf('x'), wish));
      same(await scope.exists('f'), false);
    },
    {
      reason: 'the store has both `retention` and `tiers`',
      met: ({ retention, tiers }) => retention === undefined || tiers === undefined,
    },
  ),
];

function bound(store: Store) {
  const facet = present(store.atRest);
  return {
    wanted: facet.wanted,
    of: (key: string) => facet.of(key),
    matches: (found: Parameters<typeof facet.matches>[0]) => facet.matches(found),
  };
}

/** Rules of the bucket itself. */
export const lifecycleCases: readonly ContractCase<Store>[] = [
  {
    name: 'the rules of the bucket can be read',
    needs: hasRules,
    async run({ lifecycle }) {
      const { rules, foreign } = await present(lifecycle).read();
      same(Array.isArray(rules) && Array.isArray(foreign), true);
    },
  },
  {
    name: 'rules that were written are read again, and writing none removes only those',
    changes: 'the lifecycle rules of the bucket',
    needs: hasRules,
    async run({ lifecycle }) {
      const facet = present(lifecycle);
      const before = await facet.read();
      const rule: LifecycleRule | undefined = facet.actions.includes('abort-uploads')
        ? { id: 'keyframe-check', prefix: '', action: { kind: 'abort-uploads', afterDays: 7 } }
        : undefined;
      if (rule === undefined) return;
      try {
        await facet.write([rule]);
        const { rules } = await facet.read();
        same(JSON.stringify(rules.find(({ id }) => id === rule.id)?.action), JSON.stringify(rule.action));
      } finally {
        await facet.write(before.rules.filter(({ id }) => id.startsWith('keyframe-')));
      }
      const after = await facet.read();
      same(after.rules.length, before.rules.length, 'rules afterwards');
      same(after.foreign.length, before.foreign.length, 'foreign rules afterwards');
    },
  },
];

/** Every facet answers an abort as the operations do. */
export const abortedFacetCases: readonly ContractCase<Store>[] = [
  storeCase('an aborted call of a facet rejects with the reason', async (scope) => {
    await scope.write('x');
    const key = scope.key('x');
    const signal = AbortSignal.abort(new Error('early'));
    const { retention, tiers, tags, lifecycle, replication, atRest } = scope.store;
    const calls: ReadonlyArray<(() => Promise<unknown>) | undefined> = [
      retention && (() => retention.until(key, { signal })),
      tiers && (() => tiers.state(key, { signal })),
      tags && (() => tags.of(key, { signal })),
      lifecycle && (() => lifecycle.read({ signal })),
      replication && (() => replication.read({ signal })),
      atRest && (() => atRest.of(key, { signal })),
    ];
    for (const call of calls) if (call !== undefined) same(await faultOf(call), signal.reason);
  }),
];
