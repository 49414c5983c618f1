import { type ErrorCode, KeyframeError } from '@keyframe/contracts';

/** One thing that is wrong in a config file. */
export interface ConfigurationProblem {
  /** Where, as a path of keys: `repositories.vault.stores[0].directory`. Empty for the file as a whole. */
  readonly path: string;
  /** From 1, where the format tells (YAML and JSON). */
  readonly line: number | undefined;
  readonly column: number | undefined;
  /** What is wrong, lower case, no full stop. */
  readonly reason: string;
  /** One imperative sentence, where there is something to say. */
  readonly fix: string | undefined;
  readonly code: ErrorCode;
}

/** A path of keys and indexes into the file. */
export type KeyPath = readonly (string | number)[];

/** `repositories.vault.stores[0].directory`; keys that are no plain words are quoted. */
export function formatPath(path: KeyPath): string {
  return path
    .map((key, index) => {
      if (typeof key === 'number') return `[${key}]`;
      if (!/^[A-Za-z_][\w-]*$/.test(key)) return `[${JSON.stringify(key)}]`;
      return index === 0 ? key : `.${key}`;
    })
    .join('');
}

/** Carries the list through the only error class that crosses packages. */
class Problems extends Error {
  readonly problems: readonly ConfigurationProblem[];

  constructor(problems: readonly ConfigurationProblem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = problems;
  }
}

/** `repositories.vault.stores[0].bucket (4:7): unknown option. Remove it.` */
export function formatProblem({ path, line, column, reason, fix }: ConfigurationProblem): string {
  const place = line === undefined ? '' : `${path === '' ? '' : ' '}(${line}:${column ?? 1})`;
  const where = `${path}${place}`;
  return `${where === '' ? '' : `${where}: `}${reason}${fix === undefined ? '' : `. ${fix}`}`;
}

/** One error for all problems of a file. Its code is that of the problems when they agree, else CONFIG_INVALID. */
export function configurationError(file: string, problems: readonly ConfigurationProblem[]): KeyframeError {
  const codes = new Set(problems.map(({ code }) => code));
  const [code = 'CONFIG_INVALID'] = codes.size === 1 ? codes : [];
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  return new KeyframeError(code, `${file} has ${count}`, {
    cause: new Problems(problems),
    hint: `Correct ${file}, then run \`keyframe config validate\`.`,
    details: { file, problems: problems.length },
  });
}

/** Every problem of the file behind a configuration error; `undefined` for any other error. */
export function problemsOf(error: unknown): readonly ConfigurationProblem[] | undefined {
  if (!(error instanceof Error) || !(error.cause instanceof Error) || !('problems' in error.cause)) return undefined;
  return Array.isArray(error.cause.problems) ? (error.cause.problems as ConfigurationProblem[]) : undefined;
}
