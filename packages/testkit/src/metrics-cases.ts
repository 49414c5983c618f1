import type { Metrics } from '@keyframe/contracts';
import { type ContractCase, same } from './contract.ts';

/** What every taker of figures must do: take them at once, whatever they are, and never stop the work that they tell of. */
export const metricsCases: readonly ContractCase<Metrics>[] = [
  {
    name: 'figures are taken at once',
    async run(metrics) {
      same(metrics.set('keyframe_check_bytes', 1_024), undefined, 'result of set');
      same(metrics.add('keyframe_check_total', 1), undefined, 'result of add');
    },
  },
  {
    name: 'labels with odd characters are taken',
    async run(metrics) {
      for (const value of ['', 'a b', 'quote"', 'back\\slash', 'line\nbreak', 'Größe 🐘', ',=|#:'])
        metrics.set('keyframe_check_bytes', 1, { cluster: value });
    },
  },
  {
    name: 'zero, negative, fractional and very large figures are taken',
    async run(metrics) {
      for (const value of [0, -1, 0.25, Number.MAX_SAFE_INTEGER, 1e300]) metrics.set('keyframe_check_ratio', value);
      metrics.add('keyframe_check_total', 0);
      metrics.add('keyframe_check_total', 2.5);
    },
  },
  {
    name: 'a name may be set with other labels',
    async run(metrics) {
      metrics.set('keyframe_check_bytes', 1);
      metrics.set('keyframe_check_bytes', 2, { cluster: 'main' });
      metrics.set('keyframe_check_bytes', 3, { cluster: 'main', repository: 'vault' });
    },
  },
  {
    name: 'ten thousand figures do not wait',
    async run(metrics) {
      for (let count = 0; count < 10_000; count += 1)
        metrics.add('keyframe_check_total', 1, { slot: String(count % 10) });
    },
  },
  {
    name: 'close sends what was taken, and may be called more than once',
    async run(metrics) {
      metrics.set('keyframe_check_bytes', 1);
      await metrics.close?.();
      await metrics.close?.();
    },
  },
];
