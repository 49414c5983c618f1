import type { UserConfig } from 'tsdown';
import { libraryBuild } from '../../scripts/library-build.ts';

const config: UserConfig = libraryBuild(['src/index.ts', 'src/postgres.ts', 'src/proxy.ts', 'src/servers.ts']);
export default config;
