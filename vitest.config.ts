import { defineConfig, type ViteUserConfig } from 'vitest/config';
import LongestFirst from './scripts/test-sequencer.ts';

const unit = ['packages/*', 'plugins/*', 'apps/*'];

/**
 * Unit tests run side by side, and first. Whatever starts PostgreSQL runs three files at a time, also on two processors: for
 * about half of its time a file waits, for servers, for archivers or for what must not happen.
 */
const SERVERS_AT_ONCE = 3;

const config: ViteUserConfig = defineConfig({
  resolve: { conditions: ['@keyframe/source'] },
  ssr: { resolve: { conditions: ['@keyframe/source'] } },
  test: {
    reporters: ['default', './scripts/ci-reporter.ts'],
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true as const,
        test: {
          name: 'unit',
          include: unit.map((folder) => `${folder}/src/**/*.test.ts`).concat('test/architecture.test.ts'),
          testTimeout: 20_000,
        },
      },
      {
        extends: true as const,
        test: {
          name: 'server',
          include: unit.map((folder) => `${folder}/test/**/*.test.ts`),
          testTimeout: 180_000,
          hookTimeout: 180_000,
          maxWorkers: SERVERS_AT_ONCE,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true as const,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          maxWorkers: SERVERS_AT_ONCE,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true as const,
        test: {
          name: 'torture',
          include: ['test/torture/**/*.test.ts'],
          testTimeout: 7_200_000,
          hookTimeout: 600_000,
          maxWorkers: SERVERS_AT_ONCE,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
export default config;
