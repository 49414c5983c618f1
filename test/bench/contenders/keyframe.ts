/** Keyframe: as it is published (bundled), and from its source. @packageDocumentation */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Contender, type Site, word } from '../contender.ts';
import { type Command, run } from '../measure.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const CLI = path.join(ROOT, 'apps', 'cli');

/** One way to run it. */
export interface Keyframe {
  readonly from: 'bundle' | 'source';
  /** The words before the command. */
  readonly argv: readonly string[];
  /** The words of archive_command and restore_command before their options. */
  readonly archive: readonly string[];
  readonly restore: readonly string[];
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
  return invocation('bundle', directory, path.join(dist, 'main.mjs'), []);
}

/** A config file for `site`. */
async function configure(site: Site): Promise<string> {
  const file = path.join(site.directory, 'keyframe.yaml');
  await mkdir(site.directory, { recursive: true });
  const text = {
    clusters: { main: { source: { url: site.cluster.url }, repository: 'local' } },
    repositories: {
      local: {
        stores: [{ use: 'fs', directory: path.join(site.directory, 'repository') }],
        compress: { use: 'zstd', level: site.level },
      },
    },
  };
  await writeFile(file, JSON.stringify(text)); // JSON is YAML
  return file;
}

export function keyframe(level: number, tool: Keyframe): Contender {
  return {
    title: `Keyframe zstd ${level}${tool.from === 'source' ? ' (from source)' : ''}`,
    isKeyframe: true,
    group: `zstd ${level}`,
    level,
    backups: tool.from === 'bundle',
    async prepare(site) {
      const globals = ['--config', await configure(site), '--quiet'];
      const keyframeWith = (...args: readonly string[]): Command => ({ argv: [...tool.argv, ...globals, ...args] });
      await run(keyframeWith('repository', 'create'));
      const setting = (words: readonly string[], ...filled: readonly string[]): string =>
        [...[...words, ...globals, '--'].map(word), ...filled].join(' ');
      const epoch = path.join(site.directory, 'repository', 'clusters', 'main', '1');
      return {
        archiveCommand: setting(tool.archive, '%p'),
        restoreCommand: () => setting(tool.restore, '%f', '"%p"'),
        backup: keyframeWith('backup'),
        restore: (directory) => keyframeWith('restore', '--immediate', '--to', directory),
        backups: path.join(epoch, 'backups'),
        wal: path.join(epoch, 'wal'),
      };
    },
  };
}
