import { defineConfig, type UserConfig } from 'tsdown';

/** How every published library is built: ES modules with types, one per entry. */
export function libraryBuild(entry: string[] | Record<string, string> = ['src/index.ts']): UserConfig {
  return defineConfig({ entry, platform: 'node', target: 'node24', dts: true, sourcemap: false });
}
