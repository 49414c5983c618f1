import { createHash, randomBytes } from 'node:crypto';
import { KeyframeError, type Store } from '@keyframe/contracts';
import { bytesOf, drain, textOf } from '@keyframe/contracts/streams';
import { type ContractCase, faultOf, raises, same, sameBytes } from '../contract.ts';
import { sourceOf, storeCase } from './scope.ts';

const ODD_NAMES = [
  'with space',
  'plus+percent%2F%',
  'hash#query?a=b&c',
  `quotes"'`,
  '.hidden',
  'dots..in..name',
  'trailing.',
  '~tilde',
  'brackets[1]{2}(3)<4>',
  'colon:semi;comma,star*bar|',
  'back\\slash',
  'Größe-日本-🐘',
  'UPPER',
  'upper',
  'x'.repeat(200),
];

const ILLEGAL_KEYS = ['', '/absolute', 'a/', 'a//b', '.', '..', 'a/../b', 'a/./b', 'nul\0l'];

/** Half a text and then a fault. */
const breaking = (fault: Error) =>
  sourceOf(10, async function* () {
    yield Buffer.from('half');
    throw fault;
  });

/** What one finished `put` leaves. */
export const putCases: readonly ContractCase<Store>[] = [
  storeCase('put then get returns the same bytes', async (scope) => {
    await scope.write('a/1', 'one');
    same(await scope.read('a/1'), 'one');
  }),
  storeCase('put and stat tell the size and the time', async (scope) => {
    const put = await scope.store.put(scope.key('a'), textOf('12345'));
    const stat = await scope.store.stat(scope.key('a'));
    for (const info of [put, stat]) {
      same(info?.key, scope.key('a'));
      same(info?.sizeBytes, 5);
      same(Number.isNaN(info?.modifiedAt.getTime()), false);
    }
    same(put.version, stat?.version, 'version');
  }),
  storeCase('an empty object is an object', async (scope) => {
    await scope.write('empty', '');
    same(await scope.read('empty'), '');
    same((await scope.store.stat(scope.key('empty')))?.sizeBytes, 0);
    same((await scope.names()).join(), 'empty');
  }),
  storeCase('a stream of many chunks arrives whole and in order, its size unknown or known', async (scope) => {
    const chunks = [1, 65_536, 7, 1 << 20, 0, 300_001, 65_536].map((size) => randomBytes(size));
    const whole = Buffer.concat(chunks);
    for (const sizeBytes of [undefined, whole.length]) {
      const name = `size-${sizeBytes}`;
      const source = sourceOf(sizeBytes, () => bytesOf(...chunks).open());
      same((await scope.store.put(scope.key(name), source)).sizeBytes, whole.length);
      sameBytes(await drain(await scope.store.get(scope.key(name))), whole);
    }
  }),
  storeCase('a producer may use its buffer again once it is asked for the next chunk', async (scope) => {
    const buffer = Buffer.alloc(100_000);
    const hash = createHash('sha256');
    const source = sourceOf(undefined, async function* () {
      for (let round = 1; round <= 20; round += 1) {
        hash.update(buffer.fill(round));
        yield buffer;
      }
    });
    await scope.store.put(scope.key('reused'), source);
    const read = createHash('sha256').update(await drain(await scope.store.get(scope.key('reused'))));
    same(read.digest('hex'), hash.digest('hex'), 'SHA-256');
  }),
  storeCase('put replaces by default', async (scope) => {
    await scope.write('a', 'a longer first text');
    const first = await scope.store.stat(scope.key('a'));
    await scope.write('a', 'second');
    same(await scope.read('a'), 'second');
    const second = await scope.store.stat(scope.key('a'));
    if (first?.version !== undefined) same(first.version === second?.version, false, 'same version');
  }),
  storeCase('keys with odd characters are kept apart and come back as they were', async (scope) => {
    for (const name of ODD_NAMES) await scope.write(`odd/${name}/${name}`, name);
    for (const name of ODD_NAMES) same(await scope.read(`odd/${name}/${name}`), name);
    const expected = ODD_NAMES.map((name) => `odd/${name}/${name}`).toSorted();
    same((await scope.names()).join('\n'), expected.join('\n'));
  }),
  storeCase('an illegal key is refused by every operation', async ({ store }) => {
    for (const key of ILLEGAL_KEYS) {
      await raises('INVALID_OPTION', () => store.put(key, textOf('x')));
      await raises('INVALID_OPTION', () => store.get(key));
      await raises('INVALID_OPTION', () => store.stat(key));
      await raises('INVALID_OPTION', () => store.delete([key]));
    }
  }),
  storeCase('16 writers at once write 16 objects', async (scope) => {
    const names = Array.from({ length: 16 }, (_, index) => `at-once/${index}`);
    await Promise.all(names.map((name) => scope.write(name)));
    for (const name of names) same(await scope.read(name), name);
  }),
  storeCase('a reader sees the old object or the new one, never a mixture', async (scope) => {
    const contents = [Buffer.alloc(700_000, 'a'), Buffer.alloc(400_000, 'b')];
    const key = scope.key('replaced');
    await scope.store.put(key, bytesOf(...contents.slice(0, 1)));
    const writing = (async () => {
      for (let round = 0; round < 10; round += 1)
        await scope.store.put(key, bytesOf(contents[round % 2] ?? Buffer.of()));
    })();
    for (let round = 0; round < 10; round += 1) {
      const seen = await drain(await scope.store.get(key));
      same(
        contents.some((content) => content.equals(seen)),
        true,
        'one of the two contents',
      );
    }
    await writing;
  }),
];

/** What a `put` that does not finish leaves: nothing. */
export const unfinishedPutCases: readonly ContractCase<Store>[] = [
  storeCase('a fault of the source passes through as it is and leaves nothing visible', async (scope) => {
    const fault = new KeyframeError('CORRUPT', 'source broke');
    same(await faultOf(() => scope.store.put(scope.key('p'), breaking(fault))), fault);
    same(await scope.exists('p'), false);
    same((await scope.names()).join(), '');
  }),
  storeCase('a fault of the source leaves the object that stood there', async (scope) => {
    await scope.write('p', 'old');
    await raises('CORRUPT', () => scope.store.put(scope.key('p'), breaking(new KeyframeError('CORRUPT', 'broke'))));
    same(await scope.read('p'), 'old');
  }),
  storeCase('a source that is shorter or longer than it says is refused and leaves nothing visible', async (scope) => {
    for (const sizeBytes of [0, 3, 5, 1_000_000]) {
      const source = sourceOf(sizeBytes, () => textOf('four').open());
      await raises('CORRUPT', () => scope.store.put(scope.key('p'), source));
    }
    same((await scope.names()).join(), '');
  }),
  storeCase('an object being written is not visible', async (scope) => {
    const source = sourceOf(undefined, async function* () {
      yield Buffer.alloc(100_000);
      same(await scope.exists('p'), false);
      same((await scope.names()).join(), '');
      yield Buffer.alloc(100_000);
    });
    await scope.store.put(scope.key('p'), source);
    same((await scope.names()).join(), 'p');
  }),
  storeCase('a put aborted in the middle rejects with the reason and leaves nothing visible', async (scope) => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const released = Promise.withResolvers<void>();
    const source = sourceOf(undefined, async function* () {
      try {
        yield Buffer.from('x');
        controller.abort(reason);
        yield Buffer.from('y');
      } finally {
        released.resolve();
      }
    });
    same(await faultOf(() => scope.store.put(scope.key('p'), source, { signal: controller.signal })), reason);
    await released.promise;
    same((await scope.names()).join(), '');
  }),
  storeCase('a put aborted while its source waits rejects at once', async (scope) => {
    const controller = new AbortController();
    const source = sourceOf(undefined, async function* () {
      yield Buffer.from('x');
      setImmediate(() => controller.abort());
      await new Promise(() => undefined);
    });
    const error = await faultOf(() => scope.store.put(scope.key('p'), source, { signal: controller.signal }));
    same(error, controller.signal.reason);
    same((await scope.names()).join(), '');
  }),
  storeCase('a put aborted beforehand does not open its source', async (scope) => {
    const signal = AbortSignal.abort(new Error('too late'));
    let opened = false;
    const source = sourceOf(1, () => {
      opened = true;
      return textOf('x').open();
    });
    same(await faultOf(() => scope.store.put(scope.key('p'), source, { signal })), signal.reason);
    same(opened, false, 'opened');
  }),
];
