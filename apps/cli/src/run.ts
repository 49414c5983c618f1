/** Runs one command line and tells its status. The only caller that ends the process is main.ts. @packageDocumentation */
import { hasCode, KeyframeError } from '@keyframe/contracts';
import type { Environment } from '@keyframe/runtime';
import type { Command, CommandResult, GlobalOptions } from './command.ts';
import { renderHelp, renderOverview } from './command-line/help.ts';
import { type Invocation, parseCommandLine, type Registry } from './command-line/parse.ts';
import { COMMANDS } from './commands/index.ts';
import { createContext, type OwnedContext } from './context.ts';
import { describeFault, renderFault } from './output/fault.ts';
import { toJson } from './output/json.ts';
import { type OutputStream, Talk } from './output/talk.ts';
import { createTextOutput, type TextOutput, usesColour } from './output/text.ts';

/** The process as a command line sees it. */
export interface Surroundings {
  /** The words after `keyframe`. */
  readonly argv: readonly string[];
  readonly environment: Environment;
  readonly cwd: string;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly signal: AbortSignal;
  /** Default: the commands of this program. */
  readonly registry?: Registry;
}

/** Resolves with the exit status; what there is to say has been written. */
export async function runKeyframe(surroundings: Surroundings): Promise<number> {
  const { argv, registry = COMMANDS } = surroundings;
  if (argv[0] === 'complete' && argv[1] === '--') {
    const { complete } = await import('./command-line/completion.ts');
    await complete(argv.slice(2), registry);
    return 0;
  }
  const { globals, invocation } = await parseCommandLine(argv, registry);
  if (invocation.kind === 'overview' && !invocation.asked && globals.json)
    return await runCommand(withoutCommand(invocation.group), globals, surroundings);
  if (invocation.kind !== 'run' && invocation.kind !== 'fault') return await inform(invocation, surroundings);
  return await runCommand(invocation, globals, surroundings);
}

function outputs({ stdout, stderr, environment }: Surroundings): {
  out: TextOutput;
  talkOut: (talk: Talk) => TextOutput;
} {
  return {
    out: createTextOutput((text) => stdout.write(text), usesColour(stdout, environment)),
    talkOut: (talk) => createTextOutput((text) => talk.line(text.replace(/\n$/, '')), usesColour(stderr, environment)),
  };
}

/** Where a document was asked for, the overview of the commands is none. */
function withoutCommand(group: string | undefined): Extract<Invocation, { kind: 'fault' }> {
  const words = group === undefined ? 'keyframe' : `keyframe ${group}`;
  const error = new KeyframeError('INVALID_OPTION', `\`${words}\` needs a command`, {
    hint: `Run \`${words} --help\` to see them.`,
  });
  return { kind: 'fault', command: undefined, error };
}

/** Help and version. */
async function inform(
  invocation: Exclude<Invocation, { kind: 'run' | 'fault' }>,
  surroundings: Surroundings,
): Promise<number> {
  const { out, talkOut } = outputs(surroundings);
  if (invocation.kind === 'version') {
    const { VERSION } = await import('./version.ts');
    out.line(`keyframe ${VERSION}`);
    return 0;
  }
  if (invocation.kind === 'help') {
    renderHelp(invocation.command, out);
    return 0;
  }
  const commands = await loadAll(surroundings.registry ?? COMMANDS);
  const { group, asked } = invocation;
  renderOverview(commands, group, asked ? out : talkOut(new Talk(surroundings.stderr)));
  return asked ? 0 : 2;
}

/** Every command, in the order of the registry. */
export async function loadAll(registry: Registry): Promise<Command[]> {
  const modules = await Promise.all(Object.values(registry).map((load) => load()));
  return modules.map(({ command }) => command);
}

const FOR_SERVER: ReadonlySet<string> = new Set(['wal push', 'wal fetch', 'wal prefetch']);

async function runCommand(
  invocation: Extract<Invocation, { kind: 'run' | 'fault' }>,
  globals: GlobalOptions,
  surroundings: Surroundings,
): Promise<number> {
  const { environment, cwd, stdout, signal } = surroundings;
  const talk = new Talk(surroundings.stderr);
  const write = (text: string): void => void stdout.write(text);
  const isForServer = invocation.kind === 'run' && FOR_SERVER.has(invocation.command.name);
  const context = createContext({ globals, environment, cwd, talk, write, signal, isForServer });
  try {
    if (invocation.kind === 'fault') throw invocation.error;
    const { exit, report } = await execute(invocation, context);
    if (globals.json) writeJson(stdout, report);
    else invocation.command.renderText?.(report as never, outputs(surroundings).out);
    return exit;
  } catch (error) {
    // An option that is unknown may have kept --json from being read.
    const json = globals.json || (invocation.kind === 'fault' && surroundings.argv.includes('--json'));
    return fail(error, { json, verbose: globals.verbose, talk, command: invocation.command }, context, surroundings);
  }
}

interface Telling {
  readonly json: boolean;
  readonly verbose: boolean;
  readonly talk: Talk;
  readonly command: Command | undefined;
}

/** Tells a fault, or that a signal came, and gives the status. */
function fail(
  error: unknown,
  { json, verbose, talk, command }: Telling,
  { redact }: OwnedContext,
  surroundings: Surroundings,
): number {
  talk.status('');
  const interrupted = interruption(surroundings.signal, error);
  const fault = describeFault(interrupted?.error ?? error, redact);
  if (json) writeJson(surroundings.stdout, { error: fault });
  else if (interrupted !== undefined) talk.line(`keyframe: ${interrupted.error.message}`);
  else renderFault(fault, outputs(surroundings).talkOut(talk));
  if (verbose && error instanceof Error) talk.line(redact(error.stack ?? ''));
  return interrupted?.status ?? statusOf(command, error);
}

function writeJson(stdout: OutputStream, value: unknown): void {
  stdout.write(`${toJson(value, stdout.isTTY === true ? 2 : 0)}\n`);
}

/** The context is closed whatever happens; a fault of the command is worth more than one of the closing. */
async function execute(
  { command, options, positionals }: Extract<Invocation, { kind: 'run' }>,
  context: OwnedContext,
): Promise<CommandResult<object>> {
  let result: CommandResult<object>;
  try {
    result = await command.run({ ...context, options: options as never, positionals: positionals as never });
  } catch (error) {
    await context.close().catch((late: unknown) => context.log.debug('closing failed too', { late }));
    throw error;
  }
  await context.close();
  if (!(result.exit in command.exits))
    throw new KeyframeError('INTERNAL', `${command.name} ended with status ${result.exit}, which it does not list`, {
      hint: 'Report this: it is a fault of Keyframe itself.',
    });
  return result;
}

/** By the command itself, else by the code; a status that the command does not list becomes 1. */
function statusOf(command: Command | undefined, error: unknown): number {
  const status = command?.exitFor?.(error) ?? statusOfCode(error);
  return command === undefined || status in command.exits ? status : 1;
}

function statusOfCode(error: unknown): number {
  if (hasCode(error, 'LOCKED')) return 5;
  if (hasCode(error, 'CORRUPT', 'SIGNATURE_INVALID', 'CHAIN_BROKEN')) return 4;
  const bad = hasCode(
    error,
    'INVALID_OPTION',
    'CONFIG_INVALID',
    'CONFIG_NOT_FOUND',
    'PLUGIN_INVALID',
    'PLUGIN_NOT_FOUND',
    'TARGET_AMBIGUOUS',
  );
  return bad ? 2 : 1;
}

const SIGNALS: Readonly<Record<string, number>> = { SIGINT: 130, SIGTERM: 143 };

/** Set when the command ended because of a signal, whatever the fault was that this led to. */
function interruption(
  signal: AbortSignal,
  error: unknown,
): { readonly status: number; readonly error: KeyframeError } | undefined {
  if (!signal.aborted) return undefined;
  const name = signal.reason instanceof Error ? signal.reason.message : String(signal.reason);
  const status = SIGNALS[name];
  if (status === undefined) return undefined;
  return { status, error: new KeyframeError('INTERNAL', `interrupted by ${name}`, { cause: error }) };
}
