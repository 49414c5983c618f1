import { defineConfig, type UserConfig } from 'tsdown';
import { thirdPartyLicenses } from '../../scripts/third-party-licenses.ts';

/** Everything in one package: the program, and each plugin that comes with it as a module of its own, loaded by file name. */
const PLUGINS = [
  'store-fs',
  'store-s3',
  'store-gcs',
  'store-azure',
  'compress-zstd',
  'compress-gzip',
  'compress-none',
  'encrypt-passphrase',
  'encrypt-gpg',
  'encrypt-age',
];

const config: UserConfig = defineConfig({
  entry: {
    main: 'src/main.ts',
    // A thread, found by its name beside the module that starts it.
    'hash-thread': '../../packages/repository/src/backup/hash-thread.ts',
    ...Object.fromEntries(PLUGINS.map((name) => [`plugins/${name}`, `../../plugins/${name}/src/index.ts`])),
  },
  platform: 'node',
  target: 'node24',
  dts: false,
  sourcemap: false,
  minify: 'dce-only',
  // What `require` and `import` add of their own is left to the bundler: `import` for all breaks pg, which requires pg-pool.
  inputOptions: { resolve: { conditionNames: ['@keyframe/source', 'node', 'default'] } },
  plugins: [thirdPartyLicenses()],
});
export default config;
