import { defineConfig, type UserConfig } from 'tsdown';

const config: UserConfig = defineConfig({
  entry: { index: 'src/index.ts', store: 'src/store/retry.ts', wal: 'src/wal.ts' },
  platform: 'node',
  target: 'node24',
  dts: true,
  sourcemap: false,
});
export default config;
