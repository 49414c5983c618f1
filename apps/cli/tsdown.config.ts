import { defineConfig, type UserConfig } from 'tsdown';
import { thirdPartyLicenses } from '../../scripts/third-party-licenses.ts';

/** Everything in one package: the program, and each plugin that comes with it as a module of its own, loaded by file name. */
const PLUGINS = [
  'store-fs',
  'store-s3',
  'store-gcs',
  'store-azure',
  'store-sftp',
  'compress-zstd',
  'compress-gzip',
  'compress-none',
  'compress-lz4',
  'compress-brotli',
  'encrypt-passphrase',
  'encrypt-gpg',
  'encrypt-age',
  'encrypt-aws-kms',
  'encrypt-gcp-kms',
  'encrypt-azure',
  'encrypt-vault',
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
  // ssh2 asks for it when it is loaded.
  define: { __dirname: 'import.meta.dirname' },
  // What `require` and `import` add of their own is left to the bundler: `import` for all breaks pg, which requires pg-pool.
  // Of ssh2's native parts, which nothing builds here, it finds out by itself that they are not there.
  inputOptions: {
    resolve: { conditionNames: ['@keyframe/source', 'node', 'default'] },
    external: [/\.node$/, 'cpu-features', 'lz4-napi'],
  },
  plugins: [thirdPartyLicenses()],
});
export default config;
