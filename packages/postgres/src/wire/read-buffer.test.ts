import { expect, it } from 'vitest';
import { ReadBuffer } from './read-buffer.ts';

it('reads into the same memory while nothing is held', () => {
  const memory = new ReadBuffer();
  const first = memory.next();
  memory.free();
  const second = memory.next();
  expect([second.buffer, second.byteOffset]).toEqual([first.buffer, first.byteOffset]);
});

it('never reads into memory that is held, and always has room for a good read', () => {
  const memory = new ReadBuffer();
  const held: { readonly view: Uint8Array; readonly mark: number }[] = [];
  for (let round = 1; round <= 60; round += 1) {
    const buffer = memory.next();
    expect(buffer.length).toBeGreaterThanOrEqual(64 * 1024);
    const view = buffer.subarray(0, 16_384);
    view.fill(round);
    held.push({ view, mark: round });
    memory.hold(view.length);
  }
  expect(held.filter(({ view, mark }) => view.some((byte) => byte !== mark))).toEqual([]);
});

it('does not grow by being held and freed', () => {
  const memory = new ReadBuffer();
  const slabs = new Set<ArrayBufferLike>();
  for (let round = 0; round < 100; round += 1) {
    slabs.add(memory.next().buffer);
    memory.hold(100_000);
    slabs.add(memory.next().buffer);
    memory.free();
  }
  expect(slabs.size).toBe(1);
});
