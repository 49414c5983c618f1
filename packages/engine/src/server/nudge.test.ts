import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { resolveConnection } from '@keyframe/postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNudge } from './nudge.ts';

/** Takes connections and never says a word, as a server on a stuck disk does. */
const silent = createServer((socket) => socket.on('error', () => undefined));
beforeAll(async () => {
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
});
afterAll(() => void silent.close());

const nudge = async (options: { readonly signal?: AbortSignal; readonly answerMs?: number }) => {
  const { port } = silent.address() as AddressInfo;
  const target = await resolveConnection(`postgresql://x@127.0.0.1:${port}/x?sslmode=disable`, {});
  return createNudge({ target, now: () => 0, ...options });
};

describe('asking a server that does not answer', () => {
  it('ends in time, with the reason as text', async () => {
    const asked = await nudge({ answerMs: 100 });
    expect(await asked.switchWal()).toBe('the server gave no answer within 0.1 s');
    expect(await asked.archiver()).toEqual({ state: 'the server gave no answer within 0.1 s' });
  });

  it('ends when the backup is aborted', async () => {
    const abort = new AbortController();
    const why = new Error('enough');
    const asked = await nudge({ signal: abort.signal });
    setTimeout(() => abort.abort(why), 50);
    await expect(asked.switchWal()).rejects.toBe(why);
  });
});
