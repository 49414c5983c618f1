import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { cacheDirectory } from './binaries.ts';
import { runUnprivileged } from './runner.ts';

interface InitialiseOptions {
  readonly walSegmentSizeMiB?: number;
  readonly encoding?: string;
  readonly checksums?: boolean;
  readonly initdbArgs?: readonly string[];
  readonly template?: boolean;
}

interface Target {
  readonly major: number;
  readonly bin: string;
  readonly data: string;
}

async function succeed(command: string, args: readonly string[]): Promise<void> {
  const { status, stderr } = await runUnprivileged(command, args);
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr}`);
}

/** Makes `target.data` by initdb, or from a cached copy of what initdb made. */
export async function initialise(target: Target, options: InitialiseOptions): Promise<void> {
  const checksums = options.checksums ?? true;
  const args = [
    '--username=postgres',
    '--auth=trust',
    '--no-sync',
    '--locale=C',
    `--encoding=${options.encoding ?? 'UTF8'}`,
    ...(checksums ? ['--data-checksums'] : target.major >= 18 ? ['--no-data-checksums'] : []),
    ...(options.walSegmentSizeMiB === undefined ? [] : [`--wal-segsize=${options.walSegmentSizeMiB}`]),
    ...(options.initdbArgs ?? []),
  ];
  const initdb = path.join(target.bin, 'initdb');
  if (options.template !== true) return succeed(initdb, ['-D', target.data, ...args]);
  const template = await cachedTemplate(initdb, args);
  await succeed('cp', ['-r', '--reflink=auto', '--preserve=mode', template, target.data]);
}

async function cachedTemplate(initdb: string, args: readonly string[]): Promise<string> {
  const key = createHash('sha256')
    .update([initdb, ...args].join('\0'))
    .digest('hex')
    .slice(0, 16);
  const templates = path.join(cacheDirectory(), 'templates');
  const template = path.join(templates, key);
  if (existsSync(path.join(template, 'PG_VERSION'))) return template;
  await mkdir(templates, { recursive: true });
  const work = await mkdtemp(path.join(templates, '.work-'));
  try {
    await succeed(initdb, ['-D', path.join(work, 'data'), ...args]);
    await rename(path.join(work, 'data'), template).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error; // another process was first
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return template;
}
