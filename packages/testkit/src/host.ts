import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type ExecOptions, type Host, KeyframeError } from '@keyframe/contracts';

const quiet = (): void => undefined;

/** A {@link Host} for tests: quiet, with the real clock unless told otherwise. */
export function testHost(changed: Partial<Host> = {}): Host {
  return {
    log: { debug: quiet, info: quiet, warn: quiet },
    now: () => new Date(),
    exec: run,
    fetch: globalThis.fetch,
    temporaryDirectory: () => mkdtemp(path.join(tmpdir(), 'keyframe-test-')),
    ...changed,
  };
}

/** Fails as the real host does: NOT_FOUND without the program, else INTERNAL with the last line that it said. */
function run(
  command: string,
  args: readonly string[],
  { signal, environment, input }: ExecOptions = {},
): Promise<{ readonly stdout: Buffer }> {
  return new Promise((resolve, reject) => {
    const options = { encoding: 'buffer' as const, env: { ...process.env, ...environment }, signal };
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout });
      else if (error.name === 'AbortError') reject(error);
      else if (error.code === 'ENOENT')
        reject(new KeyframeError('NOT_FOUND', `there is no program ${command}`, { cause: error }));
      else {
        const details = { command, status: typeof error.code === 'number' ? error.code : undefined };
        const said = stderr.toString('utf8').trim().split('\n').at(-1);
        reject(new KeyframeError('INTERNAL', `${command} ended: ${said}`, { cause: error, details }));
      }
    });
    child.stdin?.on('error', () => undefined); // the program need not read it
    child.stdin?.end(input);
  });
}
