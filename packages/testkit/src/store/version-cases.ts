import type { ObjectVersion, Store, VersionsFacet } from '@keyframe/contracts';
import { drain, textOf } from '@keyframe/contracts/streams';
import { type ContractCase, faultOf, raises, same } from '../contract.ts';
import { type Scope, storeCase } from './scope.ts';

const keepsVersions: ContractCase<Store>['needs'] = {
  reason: 'the store keeps no old versions (no `versions`, or not switched on for the bucket)',
  met: ({ versions }) => versions?.enabled() ?? false,
};

function facetOf({ store }: Scope): VersionsFacet {
  if (store.versions === undefined) throw new Error('the store has no versions');
  return store.versions;
}

const listed = (scope: Scope, name = ''): Promise<ObjectVersion[]> =>
  Array.fromAsync(facetOf(scope).list(scope.key(name)));

async function textOfVersion(scope: Scope, name: string, version: string, start = 0): Promise<string> {
  return (await drain(await facetOf(scope).get(scope.key(name), version, { range: { start } }))).toString();
}

/** Old versions of objects. */
export const versionCases: readonly ContractCase<Store>[] = [
  storeCase(
    'every version of an object is listed, and the newest is told',
    async (scope) => {
      for (const text of ['one', 'two', 'three']) await scope.write('v/a', text);
      await scope.write('v/b', 'other');
      const versions = await listed(scope, 'v/a');
      same(versions.length, 3, 'versions');
      same(new Set(versions.map(({ version }) => version)).size, 3, 'different versions');
      same(versions.filter(({ latest }) => latest).length, 1, 'newest versions');
      same(
        versions.some(({ deleted }) => deleted),
        false,
        'deleted',
      );
      const newest = versions.find(({ latest }) => latest);
      same(newest?.sizeBytes, 5, 'size of the newest');
      same((await listed(scope, 'v/')).length, 4, 'versions under the prefix');
    },
    keepsVersions,
  ),
  storeCase(
    'an old version reads as it was written, in parts too',
    async (scope) => {
      await scope.write('v', 'first');
      const [first] = await listed(scope);
      await scope.write('v', 'second');
      same(await textOfVersion(scope, 'v', first?.version ?? ''), 'first');
      same(await textOfVersion(scope, 'v', first?.version ?? '', 2), 'rst');
      same(await scope.read('v'), 'second');
    },
    keepsVersions,
  ),
  storeCase(
    'a deleted object is gone, and its versions are not',
    async (scope) => {
      await scope.write('v', 'kept');
      const [kept] = await listed(scope);
      await scope.store.delete([scope.key('v')]);
      same(await scope.exists('v'), false, 'exists');
      same((await scope.names()).join(), '', 'names');
      await raises('NOT_FOUND', () => scope.store.get(scope.key('v')));
      same(await textOfVersion(scope, 'v', kept?.version ?? ''), 'kept');
      const left = await listed(scope);
      same(left.filter(({ deleted }) => !deleted).length, 1, 'versions with bytes');
      same(
        left.some(({ deleted, latest }) => latest && !deleted),
        false,
        'a newest version with bytes',
      );
    },
    keepsVersions,
  ),
  storeCase(
    'a version is removed for good, and an absent one is no fault',
    async (scope) => {
      const key = scope.key('v');
      await scope.write('v', 'old');
      const [old] = await listed(scope);
      await scope.write('v', 'new');
      const doomed = [{ key, version: old?.version ?? '' }];
      await facetOf(scope).delete(doomed);
      await facetOf(scope).delete(doomed);
      await raises('NOT_FOUND', () => facetOf(scope).get(key, doomed[0]?.version ?? ''));
      same(await scope.read('v'), 'new');
      same((await listed(scope)).length, 1, 'versions left');
    },
    keepsVersions,
  ),
  storeCase(
    'an object comes back when the marker that hides it is removed',
    async (scope) => {
      await scope.write('v', 'back');
      await scope.store.delete([scope.key('v')]);
      const markers = (await listed(scope)).filter(({ deleted }) => deleted);
      if (markers.length === 0) return; // a backend may hide without markers
      await facetOf(scope).delete(markers);
      same(await scope.read('v'), 'back');
    },
    keepsVersions,
  ),
  storeCase(
    'an aborted call of versions rejects with the reason',
    async (scope) => {
      await scope.write('v', 'kept');
      const [kept] = await listed(scope);
      const signal = AbortSignal.abort(new Error('early'));
      const { key, version } = kept ?? { key: '', version: '' };
      same(await faultOf(() => facetOf(scope).get(key, version, { signal })), signal.reason);
      same(await faultOf(() => Array.fromAsync(facetOf(scope).list(scope.prefix, { signal }))), signal.reason);
      same(await faultOf(() => facetOf(scope).delete([{ key, version }], { signal })), signal.reason);
      same(await scope.read('v'), 'kept');
    },
    keepsVersions,
  ),
  storeCase(
    'a version that a delete left is listed among more than a thousand',
    async (scope) => {
      const keys = Array.from({ length: 350 }, (_, index) => scope.key(`many/${index}`));
      const queue = keys.values();
      const writer = async (): Promise<void> => {
        for (const key of queue) for (const text of ['1', '2', '3']) await scope.store.put(key, textOf(text));
      };
      await Promise.all(Array.from({ length: 16 }, writer));
      same((await listed(scope)).length, 1_050, 'versions');
    },
    keepsVersions,
  ),
];
