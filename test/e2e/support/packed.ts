/** Packages of this checkout as a stranger gets them: built, packed, installed by npm. @packageDocumentation */
import { execFile } from 'node:child_process';
import { cp, readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
/** Node as the tests run on, whatever else the machine has. */
const PATH = `${path.dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;
const quiet = { env: { ...process.env, PATH, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: undefined } };

/** The pinned pnpm: only it knows what `workspace:` and the catalog stand for. */
async function pnpm(args: readonly string[], cwd: string): Promise<void> {
  const { default: manifest } = (await import('../../../package.json', { with: { type: 'json' } })) as {
    readonly default: { readonly packageManager: string };
  };
  await run('npx', ['--yes', manifest.packageManager, ...args], { cwd, ...quiet });
}

/** Builds and packs packages; gives the tarballs. */
export async function pack(names: readonly string[], to: string): Promise<readonly string[]> {
  for (const name of names) {
    const home = path.join(ROOT, 'packages', name);
    await run(path.join(ROOT, 'node_modules/.bin/tsdown'), [], { cwd: home, ...quiet });
    await pnpm(['pack', '--pack-destination', to], home);
  }
  return (await readdir(to)).filter((name) => name.endsWith('.tgz')).map((name) => path.join(to, name));
}

/** A copy of an example, outside of this checkout, with those tarballs and what npm finds for the rest. */
export async function installExample(example: string, tarballs: readonly string[], to: string): Promise<void> {
  await cp(path.join(ROOT, 'examples', example), to, {
    recursive: true,
    filter: (source) => !/\/(node_modules|dist)$/.test(source),
  });
  await npm(['install', '--no-save', ...tarballs], to);
}

/** Runs npm; gives what it printed. */
export async function npm(args: readonly string[], cwd: string): Promise<string> {
  const flags = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
  const { stdout } = await run('npm', [...args, ...flags], { cwd, ...quiet, maxBuffer: 1 << 26 });
  return stdout;
}
