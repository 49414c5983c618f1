import type { UserConfig } from 'tsdown';
import { libraryBuild } from '../../scripts/library-build.ts';

const config: UserConfig = libraryBuild({
  index: 'src/index.ts',
  backup: 'src/backup.ts',
  store: 'src/store.ts',
  wal: 'src/wal.ts',
});
export default config;
