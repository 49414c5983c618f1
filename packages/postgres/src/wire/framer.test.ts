import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { TYPE } from './message-type.ts';
import { message } from './frontend.ts';
import { MessageFramer } from './framer.ts';

/** A small generator, so that a failing split can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** Frames `bytes` cut at random, each cut in a buffer that is wiped once it has been taken. */
async function frame(bytes: Buffer, seed: number, wait: (below: number) => boolean): Promise<readonly string[]> {
  const seen: string[] = [];
  let copy = '';
  const next = random(seed);
  const maybe = (): void | Promise<void> => {
    if (wait(next(100))) return setImmediate();
    return undefined;
  };
  const framer = new MessageFramer({
    message: (type, body) => {
      const waiting = maybe();
      if (waiting === undefined) seen.push(String.fromCharCode(type) + text(body));
      // Read after the wait: the view must still be what it was.
      return waiting?.then(() => void seen.push(String.fromCharCode(type) + text(body)));
    },
    copyData: (view, first, left) => {
      if (first) copy = '';
      const take = (): void => {
        copy += text(view);
        if (left === 0) seen.push(`d${copy}`);
      };
      const waiting = maybe();
      if (waiting === undefined) take();
      return waiting?.then(take);
    },
  });
  for (let offset = 0; offset < bytes.length;) {
    const piece = Buffer.from(bytes.subarray(offset, offset + 1 + next(40)));
    offset += piece.length;
    await framer.push(piece);
    piece.fill(0xee);
  }
  expect(framer.isBetweenMessages).toBe(true);
  return seen;
}

describe('MessageFramer', () => {
  const bodies = ['', 'x', 'hello', 'y'.repeat(100), '', 'z'.repeat(33)];
  const letters = ['Z', 'd', 'D', 'd', 'd', 'C'];
  const bytes = Buffer.concat(bodies.map((body, index) => message(letters[index] ?? 'd', Buffer.from(body))));
  const expected = bodies.map((body, index) => `${letters[index]}${body}`);

  it('gives the same messages however the bytes are cut', async () => {
    for (let seed = 0; seed < 200; seed += 1) expect(await frame(bytes, seed, () => false)).toEqual(expected);
  });

  it('waits for whoever takes them', async () => {
    for (let seed = 0; seed < 50; seed += 1) expect(await frame(bytes, seed, (n) => n < 50)).toEqual(expected);
  });

  it('returns no promise while nobody waits', () => {
    const framer = new MessageFramer({ message: () => undefined, copyData: () => undefined });
    expect(framer.push(bytes)).toBeUndefined();
  });

  it('hands copy data on without a copy', async () => {
    const views: Uint8Array[] = [];
    const framer = new MessageFramer({ message: () => undefined, copyData: (view) => void views.push(view) });
    const whole = message('d', Buffer.from('abcdef'));
    await framer.push(whole.subarray(0, 8));
    await framer.push(whole.subarray(8));
    expect(views.map(text)).toEqual(['abc', 'def']);
    expect(views.every((view) => view.buffer === whole.buffer)).toBe(true);
  });

  it('stops where the taker throws', () => {
    const seen: number[] = [];
    const framer = new MessageFramer({
      message: (type) => {
        seen.push(type);
        throw new Error('enough');
      },
      copyData: () => undefined,
    });
    expect(() => framer.push(bytes)).toThrow('enough');
    expect(seen).toEqual([TYPE.readyForQuery]);
  });

  it.each([
    ['a length that does not count itself', [0x5a, 0, 0, 0, 3]],
    ['an error of 2 GiB', [0x45, 0x7f, 0xff, 0xff, 0xff]],
    ['a negative length', [0x64, 0xff, 0xff, 0xff, 0xff]],
    ['another protocol', [...Buffer.from('HTTP/1.1 400')]],
  ])('refuses %s', (_name, header) => {
    const framer = new MessageFramer({ message: () => undefined, copyData: () => undefined });
    expect(() => framer.push(Buffer.from(header))).toThrow(expect.objectContaining({ code: 'SERVER_ERROR' }));
  });
});
