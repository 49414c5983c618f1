import { appendFile } from 'node:fs/promises';
import path from 'node:path';
import { type Abortable, KeyframeError } from '@keyframe/contracts';
import type { Environment } from '../connection/target.ts';
import { quoteForConfig } from '../settings/quoting.ts';
import type { Installation } from './find.ts';
import { makeDirectory, type Runner, spawnWith } from './runner.ts';

/** Which program, run how. */
export interface ToolOptions extends Abortable {
  readonly installation: Pick<Installation, 'binDirectory'>;
  readonly runner: Runner;
  readonly environment: Environment;
}

/**
 * Runs one of PostgreSQL's programs to its end and returns what it printed.
 * @throws {KeyframeError} SERVER_ERROR with its last words, UNSUPPORTED when this installation has no such program
 */
export async function runTool(tool: string, args: readonly string[], options: ToolOptions): Promise<string> {
  const { signal } = options;
  signal?.throwIfAborted();
  const child = spawnWith(path.join(options.installation.binDirectory, tool), args, {
    ...options,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text;
    });
  }
  const kill = (): unknown => child.kill('SIGTERM');
  signal?.addEventListener('abort', kill, { once: true });
  try {
    const status = await new Promise<number | string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, by) => resolve(code ?? by ?? 'no status'));
    });
    signal?.throwIfAborted();
    if (status === 0) return printed.stdout;
    const last = printed.stderr.trim().split('\n').at(-1) ?? '';
    throw new KeyframeError('SERVER_ERROR', `${tool} ended with ${status}: ${last}`, {
      hint: `Run ${tool} by hand to see more, or name another installation by \`--bin-dir\`.`,
      details: { tool, status, stderr: printed.stderr },
    });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      throw new KeyframeError('UNSUPPORTED', `this PostgreSQL has no ${tool}`, {
        cause: error,
        hint: `Install the client programs of PostgreSQL beside ${options.installation.binDirectory}, or give \`--bin-dir\`.`,
      });
    throw error;
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}

/** How the new cluster shall be. */
export interface InitdbOptions extends ToolOptions {
  readonly installation: Pick<Installation, 'binDirectory' | 'major'>;
  /** Superuser's name. Default `postgres`. */
  readonly superuser?: string | undefined;
  /** How clients prove who they are. Default `trust`: for servers that only we can reach. */
  readonly auth?: 'trust' | 'peer' | 'scram-sha-256' | undefined;
  /** Power of two from 1 to 1024. Default 16. */
  readonly walSegmentSizeMiB?: number | undefined;
  /** Default true. */
  readonly dataChecksums?: boolean | undefined;
  /** Leave the new files to the kernel's write-back. Default false. */
  readonly noSync?: boolean | undefined;
  /** Lines for the end of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
}

/**
 * Makes a new, empty database cluster in a directory that does not exist or is empty. UTF-8, locale C.
 * @throws {KeyframeError} SERVER_ERROR
 */
export async function initdb(dataDirectory: string, options: InitdbOptions): Promise<void> {
  await makeDirectory(dataDirectory, options.runner);
  const args = [
    `--pgdata=${dataDirectory}`,
    `--username=${options.superuser ?? 'postgres'}`,
    `--auth=${options.auth ?? 'trust'}`,
    '--encoding=UTF8',
    '--locale=C',
    ...checksumFlag(options.dataChecksums ?? true, options.installation.major),
    ...(options.walSegmentSizeMiB === undefined ? [] : [`--wal-segsize=${options.walSegmentSizeMiB}`]),
    ...(options.noSync === true ? ['--no-sync'] : []),
  ];
  await runTool('initdb', args, options);
  const lines = Object.entries(options.settings ?? {}).map(([name, value]) => `${name} = ${quoteForConfig(value)}\n`);
  await appendFile(path.join(dataDirectory, 'postgresql.conf'), lines.join(''));
}

/** On by default since 18, which alone knows the flag that switches them off. */
function checksumFlag(on: boolean, major: number): readonly string[] {
  if (on) return ['--data-checksums'];
  return major >= 18 ? ['--no-data-checksums'] : [];
}
