import { defineConfig, type UserConfig } from 'tsdown';

const config: UserConfig = defineConfig({
  entry: ['src/index.ts', 'src/units.ts'],
  platform: 'node',
  target: 'node24',
  dts: true,
  sourcemap: false,
});
export default config;
