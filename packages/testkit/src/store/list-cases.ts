import type { Store } from '@keyframe/contracts';
import { textOf } from '@keyframe/contracts/streams';
import { type ContractCase, raises, same } from '../contract.ts';
import { type Scope, storeCase } from './scope.ts';

/** More than one page of any object store, and more than one batch of deletes. */
const MANY = 1_050;

async function writeMany(scope: Scope, names: readonly string[]): Promise<void> {
  const queue = names.values();
  const writer = async (): Promise<void> => {
    for (const name of queue) await scope.store.put(scope.key(name), textOf(''));
  };
  await Promise.all(Array.from({ length: 16 }, writer));
}

/** `list` and `delete`. */
export const listCases: readonly ContractCase<Store>[] = [
  storeCase('list yields each key under the prefix once, with its size', async (scope) => {
    for (const name of ['l/a', 'l/b/c', 'l/b/d/e', 'm/a']) await scope.write(name);
    same((await scope.names('l/')).join(), 'l/a,l/b/c,l/b/d/e');
    same((await scope.names('')).join(), 'l/a,l/b/c,l/b/d/e,m/a');
    for await (const { key, sizeBytes, modifiedAt } of scope.store.list(scope.key('l/b/'))) {
      same(sizeBytes, key.length - scope.prefix.length);
      same(Number.isNaN(modifiedAt.getTime()), false);
    }
  }),
  storeCase('a prefix is text, not a folder', async (scope) => {
    for (const name of ['p/ab1', 'p/ab/x', 'p/abc/d/e', 'p/b', 'p-ab', 'pab']) await scope.write(name);
    same((await scope.names('p/ab')).join(), 'p/ab/x,p/ab1,p/abc/d/e');
    same((await scope.names('p/ab/')).join(), 'p/ab/x');
    same((await scope.names('p/')).join(), 'p/ab/x,p/ab1,p/abc/d/e,p/b');
    same((await scope.names('p')).join(), 'p-ab,p/ab/x,p/ab1,p/abc/d/e,p/b,pab');
    same((await scope.names('p/b')).join(), 'p/b');
  }),
  storeCase('list of a prefix that nothing has is empty', async (scope) => {
    await scope.write('l/a');
    for (const prefix of ['n', 'n/o/', 'l/a/', 'l/ab', 'l/a/b/c']) same((await scope.names(prefix)).join(), '');
  }),
  storeCase('a prefix cannot leave the store', async ({ store }) => {
    for (const prefix of ['../', '../../etc/', '/etc/'])
      await raises('INVALID_OPTION', () => Array.fromAsync(store.list(prefix)));
  }),
  storeCase('more than 1000 keys are listed once each, and deleted in one call', async (scope) => {
    const names = Array.from({ length: MANY }, (_, index) => `many/${index % 7}/${index}`);
    await writeMany(scope, names);
    same((await scope.names('many/')).join(), names.toSorted().join());
    const doomed = names.filter((name) => !name.startsWith('many/3/'));
    await scope.store.delete(doomed.map((name) => scope.key(name)));
    same(
      (await scope.names('many/')).join(),
      names
        .filter((name) => !doomed.includes(name))
        .toSorted()
        .join(),
    );
  }),
  storeCase('objects may be deleted while they are listed', async (scope) => {
    const names = Array.from({ length: 100 }, (_, index) => `d/${String(index).padStart(3, '0')}`);
    await writeMany(scope, names);
    const seen: string[] = [];
    for await (const { key } of scope.store.list(scope.key('d/'))) {
      seen.push(key.slice(scope.prefix.length));
      await scope.store.delete([key]);
    }
    same(new Set(seen).size, names.length, 'keys seen');
    same((await scope.names()).join(), '');
  }),
  storeCase('a listing may be left early', async (scope) => {
    for (const name of ['e/1', 'e/2', 'e/3']) await scope.write(name);
    for await (const { key } of scope.store.list(scope.key('e/'))) {
      same(key.startsWith(scope.prefix), true);
      break;
    }
    same((await scope.names('e/')).length, 3);
  }),
  storeCase('delete removes those keys and no other', async (scope) => {
    for (const name of ['d/1', 'd/10', 'd/1x/y', 'd/2']) await scope.write(name);
    await scope.store.delete([scope.key('d/1'), scope.key('d/no-such'), scope.key('d/2'), scope.key('none/at/all')]);
    same((await scope.names()).join(), 'd/10,d/1x/y');
    same(await scope.exists('d/1'), false);
    await raises('NOT_FOUND', () => scope.store.get(scope.key('d/1')));
  }),
  storeCase('delete of a prefix, of a missing key and of nothing removes nothing', async (scope) => {
    await scope.write('d/e/1');
    await scope.store.delete([scope.key('d'), scope.key('d/e'), scope.key('d/e/1/2')]);
    await scope.store.delete([]);
    same((await scope.names()).join(), 'd/e/1');
  }),
  storeCase('a key can be written again after it was deleted', async (scope) => {
    for (const text of ['one', 'two']) {
      await scope.write('d/e/f', text);
      same(await scope.read('d/e/f'), text);
      await scope.store.delete([scope.key('d/e/f')]);
    }
    same((await scope.names()).join(), '');
  }),
  storeCase('writers and deleters beside each other do not disturb each other', async (scope) => {
    await Promise.all(
      Array.from({ length: 8 }, async (_, worker) => {
        for (let round = 0; round < 15; round += 1) {
          await scope.write(`w/x/${worker}`);
          await scope.store.delete([scope.key(`w/x/${worker}`)]);
        }
      }),
    );
    same((await scope.names()).join(), '');
  }),
];
