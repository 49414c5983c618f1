import type { Metrics, Notice, Notifier } from '@keyframe/contracts';
import { describe, expect, it, test } from 'vitest';
import { describeContract, metricsCases, notifierCases } from './index.ts';

const sent: Notice[] = [];
const notifier = (): Notifier => ({
  delivery: 'at-most-once',
  async send(notice, { signal } = {}) {
    signal?.throwIfAborted();
    sent.push(notice);
  },
});
const metrics = (): Metrics => ({ set: () => undefined, add: () => undefined });

describeContract({ describe, it }, 'a notifier', notifierCases, notifier);
describeContract({ describe, it }, 'a taker of figures', metricsCases, metrics);

describe('the cases notice', () => {
  test('a notifier that does not look at its signal', async () => {
    const deaf: Notifier = { ...notifier(), send: () => Promise.resolve() };
    const results = await Promise.allSettled(notifierCases.map(({ run }) => run(deaf)));
    expect(results.some(({ status }) => status === 'rejected')).toBe(true);
  });

  test('metrics that throw at an odd label', async () => {
    const strict: Metrics = {
      ...metrics(),
      set: (_name, _value, labels = {}) => {
        if (Object.values(labels).some((value) => value.includes('\n'))) throw new Error('odd');
      },
    };
    const results = await Promise.allSettled(metricsCases.map(({ run }) => run(strict)));
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(1);
  });
});
