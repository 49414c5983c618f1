import { setImmediate as turn } from 'node:timers/promises';
import { createMemoryStore, failing, faulty } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import { compressible, FACTS, INTENT, openArchive, plainDeflate, SMALL } from '../../test/support.ts';

const FILE = { path: 'base/1', mode: 0o600, modifiedAtSeconds: 0 };

test.each([10, 500_000])('a file of %i bytes that turns out shorter or longer is refused', async (sizeBytes) => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const writer = await archive.backups.begin(INTENT);
  const long = writer.file({ ...FILE, sizeBytes });
  expect(() => long.write(Buffer.alloc(sizeBytes + 1))).toThrow(expect.objectContaining({ code: 'INTERNAL' }));
  const short = writer.file({ ...FILE, sizeBytes });
  await short.write(Buffer.alloc(sizeBytes - 1));
  expect(() => short.end()).toThrow(expect.objectContaining({ code: 'INTERNAL' }));
});

test('a backup with an open file cannot be finished', async () => {
  const writer = await (await openArchive(createMemoryStore())).backups.begin(INTENT);
  writer.file({ ...FILE, sizeBytes: 1 });
  await expect(writer.finish(FACTS)).rejects.toMatchObject({ code: 'INTERNAL' });
});

test.each(['/etc/passwd', '../x', 'a//b', '', 'a/./b', 'a\0b'])('the path %j is refused', async (path) => {
  const writer = await (await openArchive(createMemoryStore())).backups.begin(INTENT);
  expect(() => writer.file({ ...FILE, path, sizeBytes: 0 })).toThrow(expect.objectContaining({ code: 'INTERNAL' }));
});

test('the view given to write may be reused at once', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const writer = await archive.backups.begin(INTENT);
  const view = Buffer.alloc(50_000);
  const content = compressible(2_000_000);
  const sink = writer.file({ ...FILE, sizeBytes: content.length });
  for (let at = 0; at < content.length; at += view.length) {
    content.copy(view, 0, at);
    const pressed = sink.write(view);
    view.fill(0xff);
    await pressed;
  }
  await sink.end();
  const record = await writer.publish(await writer.finish(FACTS));
  const restored = Buffer.alloc(content.length);
  const write = (_: unknown, at: number, data: Uint8Array): void => restored.set(data, at);
  await archive.backups.read(record, { entry: () => undefined, write, done: () => undefined });
  expect(restored.equals(content)).toBe(true);
});

test('a slow compressor holds the writer back', async () => {
  const gate = Promise.withResolvers<undefined>();
  const compressor = {
    ...plainDeflate,
    compress: async (frame: Uint8Array) => (await gate.promise, plainDeflate.compress(frame)),
  };
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL, compressor });
  const writer = await archive.backups.begin(INTENT);
  const content = compressible(262_144);
  const sink = writer.file({ ...FILE, sizeBytes: content.length * 100 });
  let frames = 0;
  let pressed: void | Promise<void> = undefined;
  while (pressed === undefined && frames < 100) {
    pressed = sink.write(content);
    frames += 1;
  }
  expect(frames).toBeLessThan(20);
  gate.resolve(undefined);
  await pressed;
  await writer.abandon('enough');
});

test('a slow store holds the writer back: two packs of a role at most are in memory', async () => {
  const gate = Promise.withResolvers<undefined>();
  const store = createMemoryStore();
  const held = {
    ...store,
    put: async (...args: Parameters<typeof store.put>) => {
      if (args[0].includes('/pack-')) await gate.promise;
      return store.put(...args);
    },
  };
  let running = 0;
  const compress = async (frame: Uint8Array): Promise<Uint8Array> => {
    running += 1;
    const payload = await plainDeflate.compress(frame);
    running -= 1;
    return payload;
  };
  const archive = await openArchive(held, { tuning: SMALL, compressor: { ...plainDeflate, compress } });
  const writer = await archive.backups.begin(INTENT);
  const content = compressible(1 << 20);
  const sink = writer.file({ ...FILE, sizeBytes: content.length * 50 });
  let written = 0;
  const writing = (async () => {
    for (; written < 50; written += 1) await sink.write(content);
  })();
  for (let still = 0, before = -1; still < 500; before = written) {
    await turn();
    still = running > 0 || written !== before ? 0 : still + 1;
  }
  expect(written).toBeLessThan(10);
  gate.resolve(undefined);
  await writing;
  await sink.end();
  await writer.publish(await writer.finish(FACTS));
  expect(writer.written.plainBytes).toBe(50 << 20);
});

test('a fault of the store reaches the next write, and finish', async () => {
  const archive = await openArchive(faulty(createMemoryStore(), failing('put', { key: /pack-00001$/u })), {
    tuning: SMALL,
  });
  const writer = await archive.backups.begin(INTENT);
  const content = compressible(1 << 20);
  const sink = writer.file({ ...FILE, sizeBytes: content.length * 50 });
  await expect(
    (async () => {
      for (let index = 0; index < 50; index += 1) await sink.write(content);
    })(),
  ).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(() => sink.write(content)).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
});

test('an aborted signal stops a backup with its reason', async () => {
  const controller = new AbortController();
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const writer = await archive.backups.begin(INTENT, { signal: controller.signal });
  const sink = writer.file({ ...FILE, sizeBytes: 100 });
  controller.abort(new Error('enough'));
  expect(() => sink.write(Buffer.alloc(1))).toThrow('enough');
  await expect(writer.finish(FACTS)).rejects.toMatchObject({ code: 'INTERNAL' }); // a file is open
});
