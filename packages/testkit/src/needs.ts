import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { ensurePostgres, type Major, parseMajor } from './binaries.ts';
import { NotBuilt } from './servers/install.ts';
import { type ServerName, serverProbe } from './servers/registry.ts';

const run = promisify(execFile);

/** Something of the machine that a test cannot do without. */
export type Component =
  | `postgres-${Major}`
  | 'unprivileged'
  | 'tmpfs'
  | 'python3'
  | 'gpg'
  | 'unreadable-files'
  | ServerName;

/** The part of a test context that {@link needs} uses; vitest's fits. */
export interface Skippable {
  skip(note?: string): void;
}

const asReason =
  (what: string) =>
  (error: Error): string =>
    `${what}: ${error.message}`;

const probes: Readonly<Record<string, () => Promise<string | undefined>>> = {
  unprivileged: async () => {
    if (process.getuid?.() !== 0) return undefined;
    return run('unshare', ['--user', '--map-user=1000', '--map-group=1000', 'true']).then(
      () => undefined,
      asReason('root cannot step down by a user namespace'),
    );
  },
  tmpfs: async () => {
    if (process.getuid?.() !== 0) return 'mounting a small file system needs root';
    const directory = await mkdtemp(path.join(tmpdir(), 'kf-probe-'));
    const made = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', directory]).then(
      () => undefined,
      asReason('tmpfs cannot be mounted'),
    );
    if (made === undefined) await run('umount', [directory]);
    await rm(directory, { recursive: true, force: true });
    return made;
  },
  python3: () => run('python3', ['--version']).then(() => undefined, asReason('python3 does not run')),
  gpg: () => run('gpg', ['--version']).then(() => undefined, asReason('gpg does not run')),
  // Permission bits do not bind root.
  'unreadable-files': async () => (process.getuid?.() === 0 ? 'root may read and write everything' : undefined),
};

/** Large servers that nobody asked to be built. */
const notBuilt = new Set<Component>();
const found = new Map<Component, Promise<string | undefined>>();

function probe(component: Component): Promise<string | undefined> {
  const server = serverProbe(component);
  if (server !== undefined)
    return server().then(
      () => undefined,
      (error: Error) => {
        if (error instanceof NotBuilt) notBuilt.add(component);
        return error.message;
      },
    );
  const major = /^postgres-(\d+)$/.exec(component)?.[1];
  if (major === undefined) return probes[component]?.() ?? Promise.resolve(`nothing probes for '${component}'`);
  return ensurePostgres(parseMajor(major)).then(() => undefined, asReason(`PostgreSQL ${major} cannot be installed`));
}

/**
 * Why `component` is missing on this machine, or `undefined` when it is there.
 * @throws {Error} with that reason where `CI` is set: there a test never goes away silently
 */
export async function missing(component: Component): Promise<string | undefined> {
  const asked = found.get(component) ?? probe(component);
  found.set(component, asked);
  const reason = await asked;
  // Being root, or not being root, is no defect of a machine.
  const stranger = component === 'unreadable-files' || (component === 'tmpfs' && process.getuid?.() !== 0);
  // Nor is it one to lack a server that takes CI too long to build.
  const defect = !stranger && !notBuilt.has(component);
  if (reason !== undefined && defect && process.env['CI']) throw new Error(`${component} is missing: ${reason}`);
  return reason;
}

/** First line of a test that needs `component`: skips it visibly, with the reason, where that is missing. Fails it in CI. */
export async function needs(context: Skippable, component: Component): Promise<void> {
  const reason = await missing(component);
  if (reason !== undefined) context.skip(`needs ${component}: ${reason}`);
}
