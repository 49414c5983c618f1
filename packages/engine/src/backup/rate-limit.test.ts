import { expect, it } from 'vitest';
import { createRateLimit } from './rate-limit.ts';

it('no more passes in a time than the limit lets, whoever asks', async () => {
  const limit = createRateLimit(10_000_000, new AbortController().signal);
  const started = performance.now();
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      for (let count = 0; count < 5; count++) await limit.take(100_000);
    }),
  );
  expect(performance.now() - started).toBeGreaterThan(190);
});

it('a wait ends with the reason of the abort, and without a limit nobody waits', async () => {
  const controller = new AbortController();
  const waiting = createRateLimit(1, controller.signal).take(1000);
  controller.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  expect(createRateLimit(undefined, controller.signal).take(1e12)).toBe(undefined);
});
