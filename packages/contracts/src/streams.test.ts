import { setImmediate } from 'node:timers/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { ByteSource, ByteStream } from './bytes.ts';
import { abortable, bytesOf, drain, fromTransform, openExact, textOf, through } from './streams.ts';

const claiming = (sizeBytes: number | undefined, ...chunks: string[]): ByteSource => ({
  sizeBytes,
  open: () => bytesOf(...chunks.map((chunk) => Buffer.from(chunk))).open(),
});

const endless = (released: () => void): ByteStream =>
  (async function* () {
    try {
      for (;;) {
        await setImmediate();
        yield Buffer.from('x');
      }
    } finally {
      released();
    }
  })();

describe('openExact', () => {
  test.each([[2], [undefined]])('passes a source on that says %s', async (sizeBytes) => {
    expect((await drain(openExact(claiming(sizeBytes, 'a', 'b')))).toString()).toBe('ab');
  });

  test.each([[1], [3]])('refuses a source of 2 bytes that says %i', async (sizeBytes) => {
    await expect(drain(openExact(claiming(sizeBytes, 'a', 'b')))).rejects.toMatchObject({ code: 'CORRUPT' });
  });
});

describe('abortable', () => {
  test('passes everything on without a signal and with a quiet one', async () => {
    expect((await drain(abortable(bytesOf(Buffer.from('ab')).open(), undefined))).toString()).toBe('ab');
    const { signal } = new AbortController();
    expect((await drain(abortable(bytesOf(Buffer.from('ab')).open(), signal))).toString()).toBe('ab');
  });

  test('rejects with the reason while its input never answers', async () => {
    const controller = new AbortController();
    const stuck: ByteStream = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) };
    const reading = drain(abortable(stuck, controller.signal));
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(reading).rejects.toBe(reason);
  });

  test('releases its input on abort and on early exit', async () => {
    const controller = new AbortController();
    let released = 0;
    const reading = drain(
      abortable(
        endless(() => (released += 1)),
        controller.signal,
      ),
    );
    await setImmediate();
    controller.abort();
    await expect(reading).rejects.toThrow('aborted');
    await setImmediate();
    await setImmediate();
    expect(released).toBe(1);
    for await (const chunk of abortable(
      endless(() => (released += 1)),
      new AbortController().signal,
    )) {
      expect(chunk.length).toBe(1);
      break;
    }
    expect(released).toBe(2);
  });

  test('passes a fault of its input on', async () => {
    const fault = new Error('broken');
    const broken: ByteStream = (async function* () {
      yield Buffer.from('x');
      throw fault;
    })();
    await expect(drain(abortable(broken, new AbortController().signal))).rejects.toBe(fault);
  });
});

describe('fromTransform', () => {
  const gzip = fromTransform(() => createGzip());
  const gunzip = fromTransform(() => createGunzip());

  test('makes a Node transform a step between streams, as often as one likes', async () => {
    const source = textOf('through and back');
    for (let round = 0; round < 2; round += 1)
      expect((await drain(through(source.open(), gzip, gunzip))).toString()).toBe('through and back');
    expect((await drain(through(source.open()))).toString()).toBe('through and back');
  });

  test('passes on the fault of its input and its own', async () => {
    const fault = new Error('broken');
    const broken: ByteStream = (async function* () {
      yield Buffer.from('x');
      throw fault;
    })();
    await expect(drain(through(broken, gzip))).rejects.toBe(fault);
    await expect(drain(through(textOf('no gzip').open(), gunzip))).rejects.toMatchObject({ code: 'Z_DATA_ERROR' });
  });
});
