import { defineConfig, type ViteUserConfig } from 'vitest/config';

const unit = ['packages/*', 'plugins/*', 'apps/*'];

/**
 * Unit tests run side by side. Whatever starts PostgreSQL runs two files at a time: much of it is waiting, yet more at once
 * would only make the waits longer. The groups run one after the other.
 */
const SERVERS_AT_ONCE = 2;

const config: ViteUserConfig = defineConfig({
  resolve: { conditions: ['@keyframe/source'] },
  ssr: { resolve: { conditions: ['@keyframe/source'] } },
  test: {
    reporters: ['default', './scripts/ci-reporter.ts'],
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
          sequence: { groupOrder: 2 },
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
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
export default config;
