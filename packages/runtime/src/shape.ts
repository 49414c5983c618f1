/** Everything about a config file that can be told without loading a plugin. @packageDocumentation */
import type { ErrorCode } from '@keyframe/contracts';
import { nearest } from './nearest.ts';
import type { KeyPath } from './problems.ts';
import { configurationSchema, isMap, knownKeysAt, NAME, NAME_RULE, type RawConfiguration } from './schema.ts';
import { checkStoreSlots } from './store-slots.ts';

/** A problem before its place in the text is known. */
export interface DraftProblem {
  readonly path: KeyPath;
  readonly reason: string;
  readonly fix?: string | undefined;
  /** Default CONFIG_INVALID. */
  readonly code?: ErrorCode;
}

/** An issue of a Standard Schema. Zod adds `code` and more, which makes better words; other libraries give the message. */
export interface SchemaIssue {
  readonly message: string;
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
  readonly code?: string | undefined;
  readonly keys?: readonly string[] | undefined;
  readonly expected?: string | undefined;
  readonly params?: Readonly<Record<string, unknown>> | undefined;
}

const FIXES: ReadonlyArray<readonly [RegExp, string]> = [
  [/^$/, 'Write `clusters:` and `repositories:`, as `keyframe init` does.'],
  [/^clusters$/, 'Add `clusters: { main: {} }`.'],
  [/^repositories$/, 'Add `repositories: { vault: { stores: [ { use: fs, directory: /var/backups/keyframe } ] } }`.'],
  [/^repositories\.[^.]+\.stores$/, 'Write `stores: [ { use: fs, directory: /var/backups/keyframe } ]`.'],
  [/^repositories\.[^.]+\.stores\.\d+\.use$/, 'Add `use: fs`, or another store.'],
  [/\.dataDirectory$/, 'Write the whole path, as `show data_directory` prints it.'],
  [/\.walTimeout$/, 'Write 60s or 5min.'],
  [/\.retention$/, 'Write retention: { window: 35d }, or leave it out.'],
  [/^state$/, 'Write state: /var/lib/keyframe.'],
  [/\.signing\.trusted\.\d+$/, 'Write it as `keyframe signer list` prints it: ed25519:…'],
  [/\.maxRate$/, 'Write 50MiB/s.'],
];

/** The standing advice for a place. */
function fixFor(path: KeyPath): string | undefined {
  const text = path.join('.');
  return FIXES.find(([pattern]) => pattern.test(text))?.[1];
}

/** Checks the shape, the names, the counts and the references, all of them. The data is there when the shape is right. */
export function checkShape(data: unknown): { problems: DraftProblem[]; value: RawConfiguration | undefined } {
  const result = configurationSchema.safeParse(data);
  const issues = result.success ? [] : result.error.issues;
  const problems = [
    ...issues.flatMap((issue) => describeIssue(issue, data, [], knownKeysOf)),
    ...checkNames(data, 'clusters', 'cluster'),
    ...checkNames(data, 'repositories', 'repository'),
    ...checkStores(data),
    ...checkReferences(data),
  ];
  return { problems, value: result.data };
}

type KnownKeysOf = (path: KeyPath) => { readonly known: readonly string[]; readonly later: readonly string[] };

const knownKeysOf: KnownKeysOf = (path) => knownKeysAt(path) ?? { known: [], later: [] };

/** One issue in our words. `base` is the place of the schema's root in the file, `data` the value there. */
export function describeIssue(issue: SchemaIssue, data: unknown, base: KeyPath, keysOf: KnownKeysOf): DraftProblem[] {
  const inner = (issue.path ?? []).map(plainKey);
  const path = [...base, ...inner];
  if (issue.code === 'unrecognized_keys' && issue.keys !== undefined)
    return issue.keys.map((key) => unknownKey([...path, key], key, keysOf(path)));
  const value = valueAt(data, inner);
  if (value === undefined)
    return [{ path, reason: 'required', fix: fixFor(path) ?? `Add \`${String(path.at(-1))}:\`.` }];
  const fix = typeof issue.params?.['fix'] === 'string' ? issue.params['fix'] : fixFor(path);
  if (issue.code === 'invalid_type' && issue.message.startsWith('Invalid input'))
    return [{ path, reason: `must be ${noun(issue.expected)}, not ${nounOf(value)}`, fix }];
  return [{ path, reason: lowerFirst(issue.message), fix }];
}

function unknownKey(path: KeyPath, key: string, { known, later }: ReturnType<KnownKeysOf>): DraftProblem {
  if (later.includes(key)) return { path, reason: 'not available in this version', fix: 'Remove it.' };
  const meant = nearest(key, known);
  const list = known.length === 0 ? '' : ` (known here: ${known.join(', ')})`;
  const fix = meant === undefined ? `Remove it${list}.` : `Write \`${meant}\`, or remove it.`;
  return { path, reason: 'unknown key', fix };
}

const plainKey = (part: PropertyKey | { readonly key: PropertyKey }): string | number => {
  const key = typeof part === 'object' ? part.key : part;
  return typeof key === 'number' ? key : String(key);
};

function valueAt(data: unknown, path: KeyPath): unknown {
  let value = data;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = Reflect.get(value, key);
  }
  return value;
}

function noun(type: string | undefined): string {
  if (type === 'object' || type === 'record') return 'a map';
  if (type === 'array') return 'a list';
  if (type === 'string') return 'text';
  if (type === 'int') return 'a whole number';
  return type === 'boolean' ? 'true or false' : `a ${type ?? 'value of another kind'}`;
}

function nounOf(value: unknown): string {
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  return noun(typeof value);
}

const lowerFirst = (text: string): string =>
  /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;

function sectionOf(data: unknown, section: string): Readonly<Record<string, unknown>> {
  const value = isMap(data) ? data[section] : undefined;
  return isMap(value) ? value : {};
}

function checkNames(data: unknown, section: string, what: string): DraftProblem[] {
  const names = Object.keys(sectionOf(data, section));
  const bad = names
    .filter((name) => !NAME.test(name))
    .map((name) => ({ path: [section, name], reason: `is no name: ${NAME_RULE}`, fix: 'Choose another name.' }));
  const given = isMap(data) && isMap(data[section]);
  if (!given || names.length > 0) return bad;
  return [{ path: [section], reason: `must name a ${what}`, fix: fixFor([section]) }];
}

function checkStores(data: unknown): DraftProblem[] {
  return Object.entries(sectionOf(data, 'repositories')).flatMap(([name, repository]) =>
    checkStoreSlots(name, repository, fixFor(['repositories', name, 'stores'])),
  );
}

function checkReferences(data: unknown): DraftProblem[] {
  const known = Object.keys(sectionOf(data, 'repositories'));
  if (known.length === 0) return [];
  return Object.entries(sectionOf(data, 'clusters')).flatMap(([name, cluster]): DraftProblem[] => {
    const named = isMap(cluster) ? cluster['repository'] : undefined;
    const path = ['clusters', name, 'repository'];
    if (named === undefined && known.length > 1)
      return [{ path, reason: 'required, since there are several', fix: `Write one of ${known.join(', ')}.` }];
    if (typeof named !== 'string' || known.includes(named)) return [];
    const meant = nearest(named, known);
    const fix =
      meant === undefined ? `Write one of ${known.join(', ')}.` : `Write ${meant} (known: ${known.join(', ')}).`;
    return [{ path, reason: `there is no repository ${JSON.stringify(named)}`, fix }];
  });
}
