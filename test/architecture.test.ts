/** The rules of the house that no compiler and no linter knows. ARCHITECTURE.md says why they are so. @packageDocumentation */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Plugin } from '@keyframe/contracts';
import { describe, expect, it } from 'vitest';
import { renderMarkdown } from '../apps/cli/src/command-line/markdown.ts';
import { COMMANDS } from '../apps/cli/src/commands/index.ts';
import { loadAll } from '../apps/cli/src/run.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');
const find = (...patterns: readonly string[]): string[] =>
  globSync(patterns, { cwd: ROOT, exclude: ['**/node_modules/**', '**/dist/**'] }).toSorted();

const PACKAGES = find('packages/*/package.json', 'plugins/*/package.json', 'apps/*/package.json').map((manifest) =>
  path.dirname(manifest),
);
const SOURCES = find('packages/*/src/**/*.ts', 'plugins/*/src/**/*.ts', 'apps/*/src/**/*.ts');
const isTest = (file: string): boolean => /\.(test|fixture)\.ts$/.test(file);
const PRODUCT = SOURCES.filter((file) => !isTest(file));

/** Which of our packages a package may import. Arrows point one way; nothing points to a plugin or an app. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  contracts: [],
  http: ['contracts'],
  wal: ['contracts'],
  testkit: ['contracts'],
  postgres: ['contracts', 'wal'],
  repository: ['contracts', 'wal'],
  engine: ['contracts', 'wal', 'postgres', 'repository'],
  runtime: ['contracts', 'wal', 'postgres', 'repository', 'engine'],
  // The cases of the test kit are what `check store` runs.
  cli: ['contracts', 'postgres', 'engine', 'runtime', 'testkit'],
  'create-keyframe-adapter': [],
};

/** Libraries that only these packages may know; the test kit plays a client of its own. */
const ONLY_IN: Readonly<Record<string, readonly string[]>> = {
  awilix: ['packages/runtime'],
  cosmiconfig: ['packages/runtime'],
  execa: ['packages/runtime'],
  'import-meta-resolve': ['packages/runtime'],
  yaml: ['packages/runtime'],
  pg: ['packages/postgres', 'packages/testkit'],
  commander: ['apps/cli'],
  '@bomb.sh/tab': ['apps/cli'],
};

interface Manifest {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const manifestOf = (home: string): Manifest => JSON.parse(read(`${home}/package.json`)) as Manifest;
const homeOf = (file: string): string => file.split('/').slice(0, 2).join('/');

/** Text without comments, in which an example may import what it likes. */
const withoutComments = (text: string): string => text.replaceAll(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, '');

/** The specifiers of every static and dynamic import and re-export. */
function importsOf(file: string): string[] {
  const text = withoutComments(read(file));
  return [...text.matchAll(/(?<!')\b(?:from\s+|import\s*\(?\s*)'([^'\n]+)'/g)].map((match) => match[1] ?? '');
}

const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

const isBuiltin = (specifier: string): boolean => specifier.startsWith('node:') || builtinModules.includes(specifier);

/** `file: what` for each offence, so that a failure names them all. */
function offences(files: readonly string[], judge: (file: string) => readonly string[]): string[] {
  return files.flatMap((file) => judge(file).map((what) => `${file}: ${what}`));
}

describe('packages', () => {
  it('import each other only in the direction of the table', () => {
    const bad = offences(PRODUCT, (file) => {
      const home = homeOf(file);
      const allowed = home.startsWith('plugins/') ? ['contracts', 'http'] : MAY_IMPORT[path.basename(home)];
      const ours = importsOf(file).filter((specifier) => specifier.startsWith('@keyframe/'));
      if (allowed === undefined) return ['is of a package that the table does not know'];
      return ours.filter((specifier) => !allowed.includes(packageOf(specifier).slice('@keyframe/'.length)));
    });
    expect(bad).toEqual([]);
  });

  it('say in package.json what they import, and import what they say', () => {
    for (const home of PACKAGES) {
      const { dependencies = {}, devDependencies = {}, peerDependencies = {} } = manifestOf(home);
      // The command line is bundled: what it ships is among its devDependencies.
      const declared = home.startsWith('apps/') ? devDependencies : { ...dependencies, ...peerDependencies };
      const files = PRODUCT.filter((file) => homeOf(file) === home);
      const used = new Set(
        files.flatMap(importsOf).filter((specifier) => !specifier.startsWith('.') && !isBuiltin(specifier)),
      );
      const names = [...used].map(packageOf);
      expect({ home, undeclared: names.filter((name) => !(name in declared)) }).toEqual({ home, undeclared: [] });
      const unused = Object.keys({ ...dependencies, ...peerDependencies }).filter((name) => !names.includes(name));
      expect({ home, unused }).toEqual({ home, unused: [] });
    }
  });

  it('never reach into another package by a path', () => {
    const bad = offences(PRODUCT, (file) =>
      importsOf(file).filter((specifier) => {
        if (!specifier.startsWith('.')) return false;
        const target = path.join(path.dirname(file), specifier);
        return homeOf(target) !== homeOf(file);
      }),
    );
    expect(bad).toEqual([]);
  });

  it('leave container, config search, processes, SQL and arguments to the one package that knows them', () => {
    const bad = offences(PRODUCT, (file) =>
      importsOf(file).filter((specifier) => {
        const owners = ONLY_IN[packageOf(specifier)];
        return owners !== undefined && !owners.includes(homeOf(file));
      }),
    );
    expect(bad).toEqual([]);
  });

  it('named wal do no input or output', () => {
    const files = PRODUCT.filter((file) => homeOf(file) === 'packages/wal');
    expect(files.length).toBeGreaterThan(0);
    expect(
      offences(files, (file) => importsOf(file).filter((specifier) => /^node:(fs|net|http|child)/.test(specifier))),
    ).toEqual([]);
  });

  it('are pure modules: importing one does no work', () => {
    const impure = PACKAGES.filter((home) => !home.startsWith('apps/')).filter(
      (home) => (manifestOf(home) as { sideEffects?: boolean }).sideEffects !== false,
    );
    expect(impure).toEqual([]);
  });
});

describe('a plugin', () => {
  const homes = PACKAGES.filter((home) => home.startsWith('plugins/'));

  it.each(homes)('%s runs the contract cases of its kind', (home) => {
    const tests = find(`${home}/src/**/*.test.ts`, `${home}/test/**/*.test.ts`).map(read).join('\n');
    expect(tests).toMatch(/describeContract\(/);
    expect(tests).toMatch(/(store|compressor|encryptor)Cases/);
  });

  it.each(homes)('%s is named for its kind, refuses unknown options and describes the known', async (home) => {
    const entry = pathToFileURL(path.join(ROOT, home, 'src/index.ts')).href;
    const module = (await import(entry)) as { readonly default: Plugin<'store', unknown> };
    const plugin = module.default;
    expect(plugin.name).toBe(path.basename(home));
    expect(manifestOf(home).name).toBe(`@keyframe/${plugin.name}`);
    expect(Object.keys(module)).toEqual(['default']);
    const { issues } = await plugin.options['~standard'].validate({ noSuchOption: 1 });
    expect(JSON.stringify(issues)).toContain('noSuchOption');
    expect(plugin.jsonSchema?.()).toMatchObject({ type: 'object', additionalProperties: false });
  });
});

describe('errors', () => {
  const declared = [...read('packages/contracts/src/errors.ts').matchAll(/^ {2}\| '([A-Z_]+)'/gm)].map(
    ([, code]) => code,
  );

  it('have a section each in docs/errors.md, and no other', () => {
    const sections = [...read('docs/errors.md').matchAll(/^### (.+)$/gm)].map(([, code]) => code);
    expect(declared.length).toBeGreaterThan(30);
    expect(new Set(sections)).toEqual(new Set(declared));
    expect(sections).toHaveLength(declared.length);
  });

  it('are all raised somewhere', () => {
    const product = PRODUCT.filter((file) => file !== 'packages/contracts/src/errors.ts')
      .map(read)
      .join('\n');
    expect(declared.filter((code) => !product.includes(`'${code}'`))).toEqual([]);
  });

  it('are translated nowhere by an empty catch', () => {
    expect(offences(PRODUCT, (file) => read(file).match(/catch\s*(\([^)]*\))?\s*\{\s*\}/g) ?? [])).toEqual([]);
  });
});

describe('commands', () => {
  it('are described by docs/cli.md as they are', async () => {
    expect(read('docs/cli.md')).toBe(renderMarkdown(await loadAll(COMMANDS)));
  });

  it('are all in the registry, under the name of their file', async () => {
    const files = find('apps/cli/src/commands/*.ts')
      .filter((file) => !isTest(file) && /export const command\b/.test(read(file)))
      .map((file) => path.basename(file, '.ts').replace('-', ' '));
    expect(Object.keys(COMMANDS).toSorted()).toEqual(files.toSorted());
    const commands = await loadAll(COMMANDS);
    expect(commands.map(({ name }) => name)).toEqual(Object.keys(COMMANDS));
  });

  it('list what they end with, show how they are used, and load nothing heavy before they run', async () => {
    for (const { name, exits, examples, summary } of await loadAll(COMMANDS)) {
      expect({ name, statuses: Object.keys(exits).length > 1 && '0' in exits }).toEqual({ name, statuses: true });
      expect({ name, shown: examples.every(({ run }) => /\bkeyframe /.test(run)) && examples.length > 0 }).toEqual({
        name,
        shown: true,
      });
      expect(summary).not.toMatch(/\.$/);
    }
    const heavy = offences(
      find('apps/cli/src/commands/*.ts').filter((file) => !isTest(file)),
      (file) =>
        [...read(file).matchAll(/^import (?!type\b)[^;]*'(@keyframe\/(?!contracts)[^']*)'/gm)].map(
          ([, name]) => name ?? '',
        ),
    );
    expect(heavy).toEqual([]);
  });
});

describe('files', () => {
  it('have at most 400 lines', () => {
    const files = find('{packages,plugins,apps}/*/{src,test}/**/*.ts', 'test/**/*.ts', 'scripts/*');
    expect(offences(files, (file) => (read(file).split('\n').length > 401 ? ['is too long'] : []))).toEqual([]);
  });

  it('export at most 8 values, index files aside; types weigh nothing', () => {
    const bad = offences(
      PRODUCT.filter((file) => path.basename(file) !== 'index.ts'),
      (file) => {
        const values = withoutComments(read(file)).match(
          /^export (?:abstract )?(?:async )?(?:function\*?|const|class|let) /gm,
        );
        const count = values?.length ?? 0;
        return count > 8 ? [`exports ${count}`] : [];
      },
    );
    expect(bad).toEqual([]);
  });

  it('end the process and read its environment only where that is their task', () => {
    const bad = offences(PRODUCT, (file) => {
      const text = withoutComments(read(file));
      const exits = /\bprocess\.exit\(/.test(text) && !/^apps\/[^/]+\/src\/main\.ts$/.test(file);
      const reads = /\bprocess\.env\b/.test(text) && !/^(packages\/(runtime|testkit)|apps)\//.test(file);
      return [...(exits ? ['process.exit'] : []), ...(reads ? ['process.env'] : [])];
    });
    expect(bad).toEqual([]);
  });

  it('are named and filed by what they hold', () => {
    const bad = SOURCES.filter((file) => /\/(utils?|common|helpers?|misc|new|v2)(\/|\.ts$)/.test(file));
    expect(bad).toEqual([]);
    expect(SOURCES.filter((file) => !/^[a-z0-9-]+(\.test|\.fixture)?\.ts$/.test(path.basename(file)))).toEqual([]);
  });

  it('say what each public name gives: all of contracts, 95 of 100 elsewhere', () => {
    const bad = PACKAGES.flatMap((home) => {
      const names = publicNames(home);
      const silent = names.filter(({ documented }) => !documented).map(({ name }) => name);
      const allowed = home === 'packages/contracts' ? 0 : Math.floor(names.length * 0.05);
      return silent.length > allowed ? silent : [];
    });
    expect(bad).toEqual([]);
  });
});

interface ExportedName {
  readonly name: string;
  readonly documented: boolean;
}

/** What a package gives to others by its entries; of an app, which gives nothing, all that its files export. */
function publicNames(home: string): ExportedName[] {
  const { exports: entries } = manifestOf(home) as { exports?: Readonly<Record<string, unknown>> };
  const files = Object.values(entries ?? {}).flatMap((entry) => {
    const source = typeof entry === 'object' && entry !== null ? Reflect.get(entry, '@keyframe/source') : undefined;
    return typeof source === 'string' ? [path.join(home, source)] : [];
  });
  if (files.length === 0) return PRODUCT.filter((file) => homeOf(file) === home).flatMap((file) => declaredIn(file));
  return files.flatMap((file) => exportedBy(file));
}

/** The names a file declares and exports, and those it passes on. */
function exportedBy(file: string): ExportedName[] {
  const passed = [...read(file).matchAll(/^export (?:type )?(?:\{([^}]*)\}|\*) from '(\.[^']+)'/gm)];
  const others = passed.flatMap(([, list, from = '']) => {
    const names = list?.split(',').map((item) =>
      item
        .trim()
        .replace(/^type /, '')
        .replace(/ as .*/, ''),
    );
    const given = exportedBy(path.join(path.dirname(file), from));
    return names === undefined ? given : given.filter(({ name }) => names.includes(name.split(' ').at(-1) ?? ''));
  });
  return [...declaredIn(file), ...others];
}

/** Exported declarations, and whether a TSDoc comment stands right above. A command is described by its own summary. */
function declaredIn(file: string): ExportedName[] {
  const lines = read(file).split('\n');
  return lines.flatMap((line, index): ExportedName[] => {
    const match = /^export (?:abstract )?(?:async )?(?:function\*?|const|class|interface|type) (\w+)/.exec(line);
    if (match === null || line.startsWith('export const command: Command')) return [];
    return [{ name: `${file}: ${match[1] ?? ''}`, documented: lines[index - 1]?.trim().endsWith('*/') === true }];
  });
}

describe('the workspace', () => {
  it('has every document that the README and the messages point to', () => {
    for (const file of [
      'README.md',
      'ARCHITECTURE.md',
      'CONTRIBUTING.md',
      'SECURITY.md',
      'LICENSE',
      'docs/glossary.md',
    ])
      expect({ file, there: existsSync(path.join(ROOT, file)) }).toEqual({ file, there: true });
  });

  it('pins every dependency in the catalog', () => {
    for (const home of ['.', 'test', ...PACKAGES]) {
      const manifest = manifestOf(home);
      const all = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.peerDependencies };
      const loose = Object.entries(all).filter(([, range]) => !/^(catalog:|workspace:)/.test(range));
      expect({ home, loose }).toEqual({ home, loose: [] });
    }
  });
});
