import type { UserConfig } from 'tsdown';
import { libraryBuild } from '../../scripts/library-build.ts';

const config: UserConfig = libraryBuild({ index: 'src/index.ts', 'hash-thread': 'src/backup/hash-thread.ts' });
export default config;
