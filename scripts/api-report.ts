/**
 * Writes down the public API of what adapters are built against, from the built declarations, so that a change of it is seen
 * in review. With `--check` it changes nothing and fails where the report is another. Needs `npm run build`.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PACKAGES = ['contracts', 'testkit'];
/** What the project's own tests use of the test kit is promised to nobody. */
const OWN: ReadonlySet<string> = new Set(['./postgres', './servers']);

interface Manifest {
  readonly name: string;
  readonly publishConfig: { readonly exports: Readonly<Record<string, string | { readonly types: string }>> };
}

/** Declarations of a file and of the chunks that it imports, without comments, each once. */
function declarationsOf(file: string, seen: Set<string> = new Set()): string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const text = readFileSync(file, 'utf8').replaceAll(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, '');
  const chunks = [...text.matchAll(/from ["'](\.[^"']+)\.mjs["']/g)].map((match) => `${match[1]}.d.mts`);
  const own = text
    .split(/^(?=(?:declare|interface|type|export|import)\b)/m)
    .map((part) => part.trim().replaceAll(/\n\s*\n/g, '\n'))
    .map((part) => part.replace(/^export (?=declare|interface|type [\w$]+)/, ''))
    .filter((part) => part !== '' && !/^(import|export)\b/.test(part));
  return [...own, ...chunks.flatMap((chunk) => declarationsOf(path.join(path.dirname(file), chunk), seen))];
}

/** What an entry exports, in order of the names. */
function exportsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  const lists = [...text.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap((match) => (match[1] ?? '').split(','));
  const declared = [...text.matchAll(/^export declare (?:abstract )?\w+ ([\w$]+)/gm)].map((match) => match[1] ?? '');
  const names = [...lists, ...declared].map((name) => name.trim().replace('type ', ''));
  return names.filter(Boolean).toSorted();
}

function reportOf(home: string): string {
  const manifest = JSON.parse(readFileSync(path.join(home, 'package.json'), 'utf8')) as Manifest;
  const entries = Object.entries(manifest.publishConfig.exports).flatMap(([name, target]) =>
    typeof target === 'string' || OWN.has(name) ? [] : [[name, path.join(home, target.types)] as const],
  );
  const seen = new Set<string>();
  const declarations = new Set(entries.flatMap(([, file]) => declarationsOf(file, seen)));
  const lists = entries.map(
    ([name, file]) => `"${manifest.name}${name.slice(1)}" {\n  ${exportsOf(file).join('\n  ')}\n}`,
  );
  return [
    `Public API of ${manifest.name}, made by \`npm run api\`. What changes here changes for everybody who has written an adapter.`,
    ...lists,
    ...[...declarations].toSorted(),
    '',
  ].join('\n\n');
}

const check = process.argv.includes('--check');
let other = false;
for (const name of PACKAGES) {
  const home = path.join(ROOT, 'packages', name);
  const file = path.join(ROOT, 'docs', 'api', `${name}.txt`);
  const report = reportOf(home);
  const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (report === before) continue;
  if (check) {
    other = true;
    console.error(`docs/api/${name}.txt: the public API of @keyframe/${name} is another.`);
  } else {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, report);
  }
}
if (other) {
  console.error(
    'Run `npm run build && npm run api`, commit the report, and add a changeset that says what changes for adapters.',
  );
  process.exit(1);
}
