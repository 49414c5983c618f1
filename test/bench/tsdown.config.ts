import { defineConfig, type UserConfig } from 'tsdown';

/** The plugins of the benchmark, bundled as those of the program are. */
const config: UserConfig = defineConfig({
  entry: ['counting-store.ts', 'slow-store.ts'],
  platform: 'node',
  target: 'node24',
  dts: false,
  sourcemap: false,
  minify: 'dce-only',
  inputOptions: { resolve: { conditionNames: ['@keyframe/source', 'node', 'default'] } },
});
export default config;
