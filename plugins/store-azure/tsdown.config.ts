import type { UserConfig } from 'tsdown';
import { libraryBuild } from '../../scripts/library-build.ts';

const config: UserConfig = libraryBuild();
export default config;
