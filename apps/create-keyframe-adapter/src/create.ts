/** Writes the files of a new adapter. @packageDocumentation */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Every kind of adapter. */
export const KINDS = [
  'store',
  'compressor',
  'encryptor',
  'notifier',
  'metrics',
  'snapshot',
  'executor',
  'managed',
] as const;

/** One of them. */
export type Kind = (typeof KINDS)[number];
/** What runs the tests. */
export type Runner = 'node' | 'vitest';

/** Whether there is such a kind. */
export const isKind = (text: string): text is Kind => (KINDS as readonly string[]).includes(text);
/** Whether the templates know such a runner. */
export const isRunner = (text: string): text is Runner => text === 'node' || text === 'vitest';

/** What to make. */
export interface NewAdapter {
  readonly name: string;
  readonly kind: Kind;
  readonly tests: Runner;
  readonly directory: string;
}

const TEMPLATES = fileURLToPath(new URL('../templates', import.meta.url));

/** How a runner is imported, started and what it needs. */
const RUNNERS: Readonly<Record<Runner, { readonly module: string; readonly script: string; readonly needs: object }>> =
  {
    node: { module: 'node:test', script: "node --test 'src/*.test.ts'", needs: {} },
    vitest: { module: 'vitest', script: 'vitest run', needs: { vitest: '^5.1.0' } },
  };

/**
 * Writes the whole package.
 * @throws {Error} for a name that npm refuses, or a directory that is not empty
 */
export async function createAdapter({ name, kind, tests, directory }: NewAdapter): Promise<void> {
  if (!/^(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/.test(name))
    throw new Error(`${JSON.stringify(name)} is no name of an npm package`);
  const there = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  if (there.length > 0) throw new Error(`${directory} is not empty; nothing was written`);
  await mkdir(path.join(directory, 'src'), { recursive: true });
  const write = (file: string, text: string): Promise<void> =>
    // Never over what somebody else has put there meanwhile.
    writeFile(path.join(directory, file), text, { flag: 'wx' });
  const plugin = name.slice(name.lastIndexOf('/') + 1);
  const filled = async (...parts: readonly string[]): Promise<string> => {
    const text = await readFile(path.join(TEMPLATES, ...parts), 'utf8');
    return text
      .replaceAll('keyframe-example', plugin)
      .replaceAll('@example/package', name)
      .replaceAll("'node:test'", `'${RUNNERS[tests].module}'`);
  };
  await write('package.json', manifest(name, kind, tests));
  await write('tsconfig.json', await filled('tsconfig.json'));
  await write('README.md', (await filled('README.md')).replaceAll('KIND', kind));
  await write('.gitignore', 'node_modules\ndist\n');
  for (const file of ['index.ts', 'adapter.ts', 'adapter.test.ts'])
    await write(path.join('src', file), await filled(kind, `${file}.txt`));
}

function manifest(name: string, kind: Kind, tests: Runner): string {
  const { script, needs } = RUNNERS[tests];
  const fields = {
    name,
    version: '0.1.0',
    description: `A ${kind} for Keyframe`,
    keywords: ['keyframe-plugin'],
    license: 'MIT',
    type: 'module',
    files: ['dist'],
    exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' } },
    scripts: { build: 'tsc -p tsconfig.json', test: script, prepack: 'npm run build' },
    // The host brings its own copy: two would do no harm, one is enough.
    peerDependencies: { '@keyframe/contracts': '^0.1.0' },
    devDependencies: {
      '@keyframe/contracts': '^0.1.0',
      '@keyframe/testkit': '^0.1.0',
      '@types/node': '^24.0.0',
      typescript: '^7.0.0',
      ...needs,
    },
    engines: { node: '>=24.15' },
  };
  return `${JSON.stringify(fields, undefined, 2)}\n`;
}
