/** Keyframe: as it is published (bundled), and from its source. @packageDocumentation */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Contender, type Prepared, type Site, word } from '../contender.ts';
import type { RequestLine } from '../counting-store.ts';
import type { LinkOptions } from '../link.ts';
import { type Command, run } from '../measure.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const CLI = path.join(ROOT, 'apps', 'cli');
const BENCH = path.join(ROOT, 'test', 'bench');
const PLUGINS = path.join(BENCH, 'tsdown.config.ts');

/** One way to run it. */
export interface Keyframe {
  readonly from: 'bundle' | 'source';
  /** The words before the command. */
  readonly argv: readonly string[];
  /** The words of archive_command and restore_command before their options. */
  readonly archive: readonly string[];
  readonly restore: readonly string[];
  /** A store that counts its requests, as a plugin; where it can be loaded. */
  readonly countingStore?: string | undefined;
  /** One that is far away, likewise. */
  readonly slowStore?: string | undefined;
}

const invocation = (from: Keyframe['from'], home: string, main: string, condition: readonly string[]): Keyframe => ({
  from,
  argv: [process.execPath, ...condition, main],
  archive: [path.join(home, 'bin', 'keyframe-archive-command'), process.execPath, main],
  restore: [path.join(home, 'bin', 'keyframe-restore-command'), process.execPath, main],
});

/** The checkout itself. */
export const fromSource = (): Keyframe =>
  invocation('source', CLI, path.join(CLI, 'src', 'main.ts'), ['--conditions=@keyframe/source']);

/** Bundles the checkout into `directory` as its package would be, so that what runs is what the sources say now. */
export async function bundled(directory: string): Promise<Keyframe> {
  const dist = path.join(directory, 'dist');
  await mkdir(directory, { recursive: true });
  await cp(path.join(CLI, 'bin'), path.join(directory, 'bin'), { recursive: true });
  await cp(path.join(CLI, 'package.json'), path.join(directory, 'package.json'));
  const tsdown = path.join(ROOT, 'node_modules', '.bin', 'tsdown');
  // The version is read while it is bundled, from the folder above the output or the source alike.
  await run({ argv: [tsdown, '--out-dir', dist, '--logLevel', 'error'], cwd: CLI });
  const plugins = path.join(directory, 'plugins');
  await run({ argv: [tsdown, '--config', PLUGINS, '--out-dir', plugins, '--logLevel', 'error'], cwd: BENCH });
  const bundle = invocation('bundle', directory, path.join(dist, 'main.mjs'), []);
  return {
    ...bundle,
    countingStore: path.join(plugins, 'counting-store.mjs'),
    slowStore: path.join(plugins, 'slow-store.mjs'),
  };
}

/** How the cluster is read. */
export type Reader = 'stream' | 'stream-incremental' | 'local';

/** What makes one row of the tables about increments differ from another. */
export interface Variant {
  readonly reader: Reader;
  /** Whether the repository is encrypted, under a passphrase. */
  readonly encrypted?: boolean | undefined;
  /** A network between it and the store. */
  readonly link?: LinkOptions | undefined;
}

/** Where the counting store writes, in the site. */
const REQUESTS = 'requests.jsonl';

interface Configured {
  readonly countingStore?: string | undefined;
  readonly variant?: Variant | undefined;
  /** Where the index key lies, once the repository has one. */
  readonly indexKey?: string | undefined;
}

/** Requests of the last command of that name, and forgets all. */
async function takeRequests(site: Site, command: string): Promise<number> {
  const file = path.join(site.directory, REQUESTS);
  const text = await readFile(file, 'utf8').catch(() => '');
  await rm(file, { force: true });
  const lines = text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as RequestLine]));
  const last = lines.findLast(({ argv }) => argv.includes(command));
  return Object.values(last?.requests ?? {}).reduce((sum, count) => sum + count, 0);
}

async function passphraseOf(site: Site): Promise<Readonly<Record<string, string>>> {
  const file = path.join(site.directory, 'passphrase');
  await writeFile(file, 'only for a benchmark', { mode: 0o600 });
  return { use: 'passphrase', passphrase: `\${file:${file}}` };
}

/** A config file for `site`. */
async function configure(site: Site, { countingStore, variant, indexKey }: Configured = {}): Promise<string> {
  const file = path.join(site.directory, 'keyframe.yaml');
  await mkdir(site.directory, { recursive: true });
  const directory = path.join(site.directory, 'repository');
  const text = {
    clusters: {
      main: { source: { url: site.cluster.url, dataDirectory: site.cluster.data }, repository: 'local' },
    },
    repositories: {
      local: {
        stores: [
          countingStore === undefined
            ? { use: 'fs', directory }
            : { use: countingStore, directory, report: path.join(site.directory, REQUESTS), link: variant?.link },
        ],
        compress: { use: 'zstd', level: site.level },
        ...(variant?.encrypted === true ? { encrypt: [await passphraseOf(site)] } : {}),
        ...(indexKey === undefined ? {} : { indexKey: `\${file:${indexKey}}` }),
      },
    },
  };
  await writeFile(file, JSON.stringify(text)); // JSON is YAML
  return file;
}

const FIRST_WITH_SUMMARIES = 17;

/** The rows about increments: one for each way to read the cluster, and what else makes a difference. */
export function keyframeIncrements(level: number, tool: Keyframe, major: number, variant: Variant): Contender {
  const { reader, encrypted = false, link } = variant;
  const far = link === undefined ? '' : `, ${(link.bytesPerSecond * 8) / 1e9} Gbit/s and ${link.latencyMs} ms away`;
  const row = keyframe(level, tool);
  const summaries = reader === 'stream-incremental' ? 'on' : 'off';
  return {
    ...row,
    title: `${row.title}, ${reader}${encrypted ? ', encrypted' : ''}${far}`,
    missing:
      reader === 'stream-incremental' && major < FIRST_WITH_SUMMARIES
        ? `PostgreSQL ${FIRST_WITH_SUMMARIES} and newer`
        : undefined,
    settings: major < FIRST_WITH_SUMMARIES ? {} : { summarize_wal: summaries },
    backups: false,
    wal: false,
    increments: true,
    async prepare(site) {
      const prepared = await prepare(site, tool, variant);
      return { ...prepared, requests: (command) => takeRequests(site, command) };
    },
  };
}

export function keyframe(level: number, tool: Keyframe): Contender {
  return {
    title: `Keyframe zstd ${level}${tool.from === 'source' ? ' (from source)' : ''}`,
    isKeyframe: true,
    group: `zstd ${level}`,
    level,
    backups: tool.from === 'bundle',
    prepare: (site) => prepare(site, tool),
  };
}

async function prepare(site: Site, tool: Keyframe, variant?: Variant): Promise<Prepared> {
  const countingStore = variant === undefined ? undefined : tool.countingStore;
  const globals = ['--config', await configure(site, { countingStore, variant }), '--quiet'];
  const keyframeWith = (...args: readonly string[]): Command => ({
    argv: [...tool.argv, ...globals, ...args],
    // What a host remembers of a repository belongs to this site alone.
    environment: { XDG_STATE_HOME: path.join(site.directory, 'state') },
  });
  await run(keyframeWith('repository', 'create'));
  if (variant?.encrypted === true) {
    // As the guide advises: archive_command then tries no passphrase for each segment.
    const indexKey = path.join(site.directory, 'index.key');
    await run(keyframeWith('key', 'export-index', '--to', indexKey));
    await configure(site, { countingStore, variant, indexKey });
  }
  const setting = (words: readonly string[], ...filled: readonly string[]): string =>
    [...[...words, ...globals, '--'].map(word), ...filled].join(' ');
  const epoch = path.join(site.directory, 'repository', 'clusters', 'main', '1');
  const from = variant?.reader === 'local' ? ['--from', 'local', '--workers', '2'] : [];
  const restore = (directory: string): string[] => ['restore', '--immediate', '--to', directory];
  return {
    archiveCommand: setting(tool.archive, '%p'),
    goesAhead: true,
    restoreCommand: () => setting(tool.restore, '%f', '"%p"'),
    backup: keyframeWith('backup', '--type', 'full', ...from),
    increment: () => keyframeWith('backup', '--type', 'incremental', ...from),
    restore: (directory) => keyframeWith(...restore(directory)),
    delta: (directory) => keyframeWith(...restore(directory), '--delta'),
    backups: path.join(epoch, 'backups'),
    wal: path.join(epoch, 'wal'),
  };
}
