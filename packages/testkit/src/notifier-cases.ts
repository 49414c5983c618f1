import type { Notice, Notifier } from '@keyframe/contracts';
import { type ContractCase, faultOf, same } from './contract.ts';

const NOTICE: Notice = {
  event: 'keyframe.check',
  severity: 'info',
  at: new Date('2026-01-02T03:04:05.678Z'),
  cluster: 'keyframe-check',
  message: 'A check of this notifier: “Größe” 日本 🐘 <b>&amp;</b> \\ " \' *bold* `code`',
  details: { count: 3, ratio: 0.5, ok: true, path: '/var/lib/"x"' },
};

/** What every notifier must do. The cases send notices: point it at a receiver of the test's own. */
export const notifierCases: readonly ContractCase<Notifier>[] = [
  {
    name: 'it says what its delivery is worth',
    async run({ delivery }) {
      same(delivery === 'at-most-once' || delivery === 'at-least-once', true, delivery);
    },
  },
  {
    name: 'a notice with odd characters is sent',
    run: (notifier) => notifier.send(NOTICE),
  },
  {
    name: 'a notice of each severity is sent, and one without details',
    async run(notifier) {
      for (const severity of ['info', 'warning', 'critical'] as const)
        await notifier.send({ ...NOTICE, severity, details: {} });
    },
  },
  {
    name: 'a long message is sent',
    run: (notifier) => notifier.send({ ...NOTICE, message: 'x'.repeat(10_000) }),
  },
  {
    name: 'several notices at once are sent',
    async run(notifier) {
      await Promise.all(Array.from({ length: 8 }, (_, count) => notifier.send({ ...NOTICE, details: { count } })));
    },
  },
  {
    name: 'an aborted send rejects with the reason of its signal',
    async run(notifier) {
      const signal = AbortSignal.abort(new Error('enough'));
      same(await faultOf(() => notifier.send(NOTICE, { signal })), signal.reason);
    },
  },
  {
    name: 'close may be called more than once',
    async run(notifier) {
      await notifier.close?.();
      await notifier.close?.();
    },
  },
];
