import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Host } from '@keyframe/contracts';

const quiet = (): void => undefined;

/** A {@link Host} for tests: quiet, with the real clock unless told otherwise. */
export function testHost(changed: Partial<Host> = {}): Host {
  return {
    log: { debug: quiet, info: quiet, warn: quiet },
    now: () => new Date(),
    exec: (command, args, { signal, environment } = {}) =>
      new Promise((resolve, reject) => {
        const options = { encoding: 'buffer' as const, env: { ...process.env, ...environment }, signal };
        execFile(command, args, options, (error, stdout) => (error === null ? resolve({ stdout }) : reject(error)));
      }),
    fetch: globalThis.fetch,
    temporaryDirectory: () => mkdtemp(path.join(tmpdir(), 'keyframe-test-')),
    ...changed,
  };
}
