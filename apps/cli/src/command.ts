/**
 * The shape of a command and what the runner lends it.
 *
 * A command is one file in `commands/`: it imports types at the top and everything heavy (the engine, the runtime) inside `run`,
 * so that `keyframe --help` and the other commands do not pay for it. It is listed in `commands/index.ts`.
 *
 * ```ts
 * export const command: Command = defineCommand({
 *   name: 'wal status',
 *   summary: 'Show what the archive holds',
 *   examples: [{ run: 'keyframe wal status --json' }],
 *   positionals: [],
 *   options: { maxAge: { kind: 'duration', flag: '--max-age', value: 'duration', description: 'oldest WAL to accept' } },
 *   exits: { 0: 'the archive has no gap', 3: 'the archive has a gap', ...FAULT_EXITS },
 *   async run({ openApp, options, signal }) {
 *     const { walStatus } = await import('@keyframe/engine');
 *     const app = await openApp();
 *     const report = await walStatus(app, { maxAgeMs: options.maxAge }, { signal });
 *     return { exit: report.gaps.length > 0 ? 3 : 0, report };
 *   },
 *   renderText(report, out) {
 *     out.table(['from', 'to'], report.gaps.map(({ from, to }) => [from, to]));
 *   },
 * });
 * ```
 * @packageDocumentation
 */
import type { Host, Log } from '@keyframe/contracts';
import type { App, Configuration, Environment, StoreChoice } from '@keyframe/runtime';
import type { OptionSpecs, OptionValues, PositionalSpec, PositionalValues } from './command-line/spec.ts';
import type { Progress } from './output/progress.ts';
import type { TextOutput } from './output/text.ts';

/** The statuses that every command can end with, to be spread into {@link CommandSpec.exits}. Signals (130, 143) go without saying. */
export const FAULT_EXITS: { readonly 1: string; readonly 2: string } = {
  1: 'a fault; the message says what, why and what to do',
  2: 'bad configuration or arguments; nothing was done',
};

/** Options that every command understands, before or after its name. */
export interface GlobalOptions {
  readonly config: string | undefined;
  readonly cluster: string | undefined;
  readonly repository: string | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

/** What a command gets. Everything it opens through the context is closed by the runner, in reverse order, also after a fault. */
export interface CommandContext<Options, Positionals> {
  readonly options: Options;
  readonly positionals: Positionals;
  readonly globals: GlobalOptions;
  /** Aborts at SIGINT and SIGTERM. Pass it to everything that waits. */
  readonly signal: AbortSignal;
  /** Lines on stderr: `debug` with `--verbose`, `info` unless `--quiet`, `warn` always. */
  readonly log: Log;
  /** Plain lines on stderr, for a command that tells what it does step by step; silent with `--quiet` and `--json`. */
  readonly tell: (text: string) => void;
  /** With `--json`, one line on stdout for something that has happened, before the report; else nothing. */
  readonly emit: (event: object) => void;
  /** Bytes, rate and ETA on stderr; silent with `--quiet` and `--json`. */
  readonly progress: Progress;
  readonly environment: Environment;
  readonly cwd: string;
  /** Reads, resolves and validates the config file. Repeated calls give the same object. */
  readonly configuration: () => Promise<Configuration>;
  /** The engine's parts for the cluster and the repository that the globals or the file choose. Repeated calls give the same object, of the first call's choice. */
  readonly openApp: (choice?: StoreChoice) => Promise<App>;
  /** A host without a config file, for commands such as `init` and `setup`. */
  readonly host: () => Promise<Host>;
  /** Runs at the end of the command, last registered first, also after a fault or a signal. */
  readonly defer: (cleanup: () => void | Promise<void>) => void;
}

/** What a command ends with. */
export interface CommandResult<Report> {
  /** One of {@link CommandSpec.exits}. */
  readonly exit: number;
  /**
   * The facts, as `--json` prints them. Plain data; a `bigint` becomes a decimal string, a `Date` ISO 8601 text.
   * Put LSNs in as text (`formatLsn`), sizes and durations as numbers with the unit in the name.
   */
  readonly report: Report;
}

/** One line of help: a command a user can paste. */
export interface Example {
  /** The whole command line, starting with `keyframe`. */
  readonly run: string;
  /** What it is for. */
  readonly note?: string;
}

/** What an author writes; see {@link defineCommand}. */
export interface CommandSpec<
  Options extends OptionSpecs,
  Positionals extends readonly PositionalSpec[],
  Report extends object,
> {
  /** As typed after `keyframe`: one or two words. */
  readonly name: string;
  /** One imperative sentence without a full stop. */
  readonly summary: string;
  /** More, for `--help` and docs/cli.md: paragraphs of plain text, separated by an empty line. */
  readonly description?: string;
  readonly examples: readonly Example[];
  readonly positionals: Positionals;
  readonly options: Options;
  /** Every status this command can end with. Printed in its help and in docs/cli.md; the runner refuses any other. */
  readonly exits: Readonly<Record<number, string>>;
  /** True keeps it out of the overview. */
  readonly hidden?: boolean;
  run(context: CommandContext<OptionValues<Options>, PositionalValues<Positionals>>): Promise<CommandResult<Report>>;
  /** The report for people, on stdout. Not called with `--json`. Left out: nothing is printed. */
  renderText?(report: Report, out: TextOutput): void;
  /**
   * Status for a fault, bad arguments and bad configuration included. `undefined` leaves it to the code of the error:
   * 2 for bad configuration or arguments, 4 for CORRUPT and for what is not signed as it must be, 5 for LOCKED, else 1 (and 1 when that status is not in `exits`).
   */
  exitFor?(error: unknown): number | undefined;
}

/** A command whose types are erased, as the runner and the registry hold it. */
export interface Command extends CommandSpec<OptionSpecs, readonly PositionalSpec[], object> {
  run(
    context: CommandContext<Readonly<Record<string, never>>, Readonly<Record<string, never>>>,
  ): Promise<CommandResult<object>>;
  renderText?(report: never, out: TextOutput): void;
}

/** Checks the pieces against each other (options and positionals give the types of `run`, its report that of `renderText`). */
export function defineCommand<
  const Options extends OptionSpecs,
  const Positionals extends readonly PositionalSpec[],
  Report extends object,
>(spec: CommandSpec<Options, Positionals, Report>): Command {
  return spec as unknown as Command;
}
