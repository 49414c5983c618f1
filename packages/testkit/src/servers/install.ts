import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Where built servers are kept between runs: `KEYFRAME_SERVERS_CACHE`, else the user's cache directory. */
function serversDirectory(): string {
  const own = process.env['KEYFRAME_SERVERS_CACHE'];
  if (own !== undefined && own !== '') return own;
  const caches = process.env['XDG_CACHE_HOME'] ?? path.join(process.env['HOME'] ?? tmpdir(), '.cache');
  return path.join(caches, 'keyframe', 'servers');
}

/** How a server comes onto the machine. */
export interface Installation {
  /** Name and version: one folder of the cache. */
  readonly name: string;
  /** Shell commands that fill the folder `$1`, which is empty. Quotes and paths in `$3`, `$4`, … */
  readonly build: string;
  readonly words?: readonly string[];
  /** Minutes of CPU: never built in CI, and elsewhere only where `KEYFRAME_SERVERS=all` asks for it. Default false. */
  readonly large?: boolean;
}

/** A server that is not here and that nobody asked to be built: no defect of the machine, even in CI. */
export class NotBuilt extends Error {
  override readonly name = 'NotBuilt';
}

const installing = new Map<string, Promise<string>>();

/** The folder of an installed server; built on first use, by one process at a time, and whole or not there at all. */
export function ensureServer(wanted: Installation): Promise<string> {
  const running = installing.get(wanted.name) ?? install(wanted);
  installing.set(wanted.name, running);
  return running;
}

async function install({ name, build, words = [], large = false }: Installation): Promise<string> {
  const cache = serversDirectory();
  const home = path.join(cache, name);
  if (existsSync(home)) return home;
  if (large && process.env['KEYFRAME_SERVERS'] !== 'all')
    throw new NotBuilt(`${name} takes minutes to build: set KEYFRAME_SERVERS=all to have it built into ${cache}`);
  await mkdir(cache, { recursive: true });
  // The kernel gives the lock back when its holder dies, so that no builder is waited for in vain.
  const script = `[ -e "$2" ] || { rm -rf "$1"; mkdir "$1"; ${build}; mv -T "$1" "$2"; }`;
  const shell = ['sh', '-euc', script, 'sh', path.join(cache, `.build-${name}`), home, ...words];
  await run('flock', [path.join(cache, `.lock-${name}`), ...shell], { maxBuffer: 1 << 26 });
  return home;
}

/** A program written in Go, as `go install` makes it: the folder that holds it. */
export const goInstallation = (name: string, version: string, module: string, large = false): Installation => ({
  name: `${name}-${version.replace(/^v/, '')}`,
  build: 'CGO_ENABLED=0 GOBIN="$1" go install -trimpath -ldflags="-s -w" "$3"',
  words: [`${module}@${version}`],
  large,
});

/** Python packages of `servers/<name>.txt`: a folder for `PYTHONPATH`. */
export const pythonInstallation = (name: string, version: string): Installation => ({
  name: `${name}-${version}`,
  build: 'python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$1" --requirement "$3"',
  words: [fileURLToPath(new URL(`../../servers/${name}.txt`, import.meta.url))],
});
