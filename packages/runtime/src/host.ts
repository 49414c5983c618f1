import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type ExecOptions, type Host, KeyframeError, type Log } from '@keyframe/contracts';

/** A host and the end of it. */
export interface OwnedHost extends Host {
  /** Removes the temporary directories. Called again: does nothing. */
  close(): Promise<void>;
}

/** What adapters may use of this process. */
export function createHost(log: Log): OwnedHost {
  const directories: string[] = [];
  return {
    log,
    now: () => new Date(),
    fetch: (input, init) => globalThis.fetch(input, init),
    exec: run,
    temporaryDirectory: async () => {
      const directory = await mkdtemp(path.join(tmpdir(), 'keyframe-'));
      directories.push(directory);
      return directory;
    },
    close: async () => {
      for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true });
    },
  };
}

async function run(
  command: string,
  args: readonly string[],
  { input, environment, signal }: ExecOptions = {},
): Promise<{ readonly stdout: Buffer }> {
  // 70 ms of CPU, and most runs start no program.
  const { execa } = await import('execa');
  const result = await execa(command, args, {
    encoding: 'buffer',
    stripFinalNewline: false,
    reject: false,
    ...(input === undefined ? {} : { input }),
    ...(environment === undefined ? {} : { env: { ...environment } }),
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  if (!result.failed) return { stdout: Buffer.from(result.stdout) };
  signal?.throwIfAborted();
  if (result.code === 'ENOENT')
    throw new KeyframeError('NOT_FOUND', `there is no program ${command}`, {
      cause: result,
      hint: `Install ${command}, or correct PATH.`,
      details: { command },
    });
  const said = Buffer.from(result.stderr).toString('utf8').trim().split('\n').at(-1);
  const how = result.signal === undefined ? `status ${result.exitCode ?? 'unknown'}` : `signal ${result.signal}`;
  throw new KeyframeError('INTERNAL', `${command} ended with ${how}${said ? `: ${said}` : ''}`, {
    cause: result,
    details: { command, status: result.exitCode, signal: result.signal },
  });
}
