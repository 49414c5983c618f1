/** From the words of a command line to a command and its values. @packageDocumentation */
import { KeyframeError } from '@keyframe/contracts';
import { Argument, Command as Parser, CommanderError, Option } from 'commander';
import type { Command, GlobalOptions } from '../command.ts';
import type { OptionSpec } from './spec.ts';
import { readValue } from './values.ts';

/** Loads a command by its name. */
export type Registry = Readonly<Record<string, () => Promise<{ readonly command: Command }>>>;

/** What a command line asks for. */
export type Invocation =
  | { readonly kind: 'run'; readonly command: Command; readonly options: object; readonly positionals: object }
  | { readonly kind: 'help'; readonly command: Command }
  /** Of everything, or of the commands that begin with `group`. `asked` is false when only the rest was missing. */
  | { readonly kind: 'overview'; readonly group: string | undefined; readonly asked: boolean }
  | { readonly kind: 'version' }
  /** `command` is known when the fault lies in its own part: then its `exitFor` decides the status. */
  | { readonly kind: 'fault'; readonly command: Command | undefined; readonly error: KeyframeError };

/** The options every command has, with their text for help. */
export const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  {
    kind: 'string',
    flag: '--config',
    value: 'file',
    description: 'config file (default: KEYFRAME_CONFIG, keyframe.yaml here, then in /etc/keyframe)',
  },
  {
    kind: 'string',
    flag: '--cluster',
    value: 'name',
    description: 'cluster of the config file (default: the only one)',
  },
  { kind: 'string', flag: '--repository', value: 'name', description: "repository (default: the cluster's)" },
  { kind: 'boolean', flag: '--json', description: 'one JSON document on stdout' },
  { kind: 'boolean', flag: '--quiet', short: '-q', description: 'no progress, and only warnings on stderr' },
  { kind: 'boolean', flag: '--verbose', short: '-v', description: 'details on stderr' },
  { kind: 'boolean', flag: '--help', short: '-h', description: 'help of the command' },
  { kind: 'boolean', flag: '--version', short: '-V', description: 'version of keyframe' },
];

class Enough extends Error {}

/** Reads the words after `keyframe`. Never throws for what a user can type. */
export async function parseCommandLine(
  argv: readonly string[],
  registry: Registry,
): Promise<{ readonly globals: GlobalOptions; readonly invocation: Invocation }> {
  const root = quietParser(new Parser('keyframe'));
  for (const spec of GLOBAL_OPTIONS) root.addOption(optionOf(spec));
  const seen: { group: string | undefined; command: Command | undefined } = { group: undefined, command: undefined };
  let invocation: Invocation | undefined;

  const fill = async (parser: Parser, name: string): Promise<void> => {
    const load = registry[name];
    if (load === undefined) {
      seen.group = name;
      return;
    }
    const { command } = await load();
    seen.command = command;
    // The parent has read every global option by now, those behind the command's name included.
    if (root.opts<{ help?: boolean }>().help === true) throw new Enough();
    for (const { name: word, description, optional, variadic } of command.positionals) {
      const words = variadic === true ? `${word}...` : word;
      parser.addArgument(new Argument(optional === true ? `[${words}]` : `<${words}>`, description));
    }
    for (const spec of Object.values(command.options)) parser.addOption(optionOf(spec));
    parser.action(() => {
      invocation = {
        kind: 'run',
        command,
        options: optionValues(parser, command),
        positionals: positionalValues(parser, command),
      };
    });
  };

  addCommands(root, Object.keys(registry), fill);
  try {
    await root.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    invocation = conclude(error, root, seen);
  }
  return { globals: globalsOf(root), invocation: invocation ?? { kind: 'overview', group: undefined, asked: false } };
}

/** A tree with one node for each word of the names; a leaf is filled only when it is chosen. */
function addCommands(
  root: Parser,
  names: readonly string[],
  fill: (parser: Parser, name: string) => Promise<void>,
): void {
  const nodes = new Map<string, Parser>();
  for (const name of names) {
    let parent = root;
    let path = '';
    for (const word of name.split(' ')) {
      path = path === '' ? word : `${path} ${word}`;
      const node = nodes.get(path) ?? quietParser(parent.command(word));
      nodes.set(path, node);
      parent = node;
    }
  }
  const pathOf = (parser: Parser): string => [...nodes].find(([, node]) => node === parser)?.[0] ?? '';
  for (const parser of [root, ...nodes.values()])
    parser.hook('preSubcommand', (_, chosen) => fill(chosen, pathOf(chosen)));
}

/** Help, output and exits are ours. */
function quietParser(parser: Parser): Parser {
  const nothing = (): void => undefined;
  return parser
    .helpOption(false)
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeOut: nothing, writeErr: nothing, outputError: nothing });
}

function optionOf(spec: OptionSpec): Option {
  const names = spec.short === undefined ? spec.flag : `${spec.short}, ${spec.flag}`;
  const option = new Option(spec.kind === 'boolean' ? names : `${names} <${spec.value}>`, spec.description);
  if (spec.kind === 'repeatable')
    option.argParser((value: string, list: readonly string[] | undefined) => [...(list ?? []), value]);
  return option;
}

const attributeOf = (spec: OptionSpec): string => optionOf(spec).attributeName();

function optionValues(parser: Parser, command: Command): object {
  const given = parser.opts<Readonly<Record<string, unknown>>>();
  const values = Object.entries(command.options).map(([name, spec]) => [
    name,
    readValue(spec, given[attributeOf(spec)]),
  ]);
  return Object.fromEntries(values);
}

function positionalValues(parser: Parser, command: Command): object {
  return Object.fromEntries(
    command.positionals.map(({ name, variadic }, index) => [
      name,
      variadic === true ? parser.args.slice(index) : parser.args[index],
    ]),
  );
}

function globalsOf(root: Parser): GlobalOptions {
  const given = root.opts<Partial<GlobalOptions>>();
  return {
    config: given.config,
    cluster: given.cluster,
    repository: given.repository,
    json: given.json === true,
    quiet: given.quiet === true,
    verbose: given.verbose === true,
  };
}

function conclude(
  error: unknown,
  root: Parser,
  { group, command }: { group: string | undefined; command: Command | undefined },
): Invocation {
  const { help, version } = root.opts<{ help?: boolean; version?: boolean }>();
  if (error instanceof Enough && command !== undefined) return { kind: 'help', command };
  if (error instanceof KeyframeError) return { kind: 'fault', command, error };
  if (!(error instanceof CommanderError)) throw error;
  // commander's word for "there are subcommands, and none was given".
  if (error.code === 'commander.help')
    return version === true && group === undefined
      ? { kind: 'version' }
      : { kind: 'overview', group, asked: help === true };
  return { kind: 'fault', command, error: usageError(error, command?.name ?? group) };
}

/** What hands that know other tools type, and its name here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'archive-get': 'wal fetch',
  'archive-push': 'wal push',
  'backup-fetch': 'restore',
  'backup-list': 'list',
  'backup-push': 'backup',
  'list-backup': 'list',
  'list-backups': 'list',
  'show-backup': 'show',
  'stanza-create': 'repository create',
  'wal-fetch': 'wal fetch',
  'wal-push': 'wal push',
  check: 'doctor',
  info: 'list',
  recover: 'restore',
  status: 'wal status',
};

/** commander's `error: unknown option '--foo'\n(Did you mean --bar?)` as message and hint. */
function usageError(error: CommanderError, name: string | undefined): KeyframeError {
  const [what = '', like] = error.message.split(/\n\(Did you mean (.*)\?\)/);
  const typed = name === undefined ? /^error: unknown command '([^']*)'/.exec(what)?.[1] : undefined;
  const meant = (typed === undefined ? undefined : ELSEWHERE[typed]) ?? like;
  const help = `keyframe ${name === undefined ? '' : `${name} `}--help`;
  const hint = meant === undefined ? `See \`${help}\`.` : `Did you mean ${meant}? See \`${help}\`.`;
  return new KeyframeError('INVALID_OPTION', what.replace(/^error: /, '').replace(/\.$/, ''), {
    hint,
    cause: undefined,
  });
}
