/** Help texts, made from the commands themselves. docs/cli.md is made from the same parts. @packageDocumentation */
import type { Command } from '../command.ts';
import type { TextOutput } from '../output/text.ts';
import { GLOBAL_OPTIONS } from './parse.ts';
import type { OptionSpec } from './spec.ts';

/** `keyframe wal fetch [options] <file> <destination>` */
export function usageOf({ name, positionals, options }: Command): string {
  const words = positionals.map(({ name: word, optional, variadic }) => {
    const all = variadic ? `${word}...` : word;
    return optional ? `[${all}]` : `<${all}>`;
  });
  const required = Object.values(options).flatMap((spec) => (isRequired(spec) ? [flagsOf(spec)] : []));
  const others = Object.keys(options).length > required.length ? ['[options]'] : [];
  return ['keyframe', name, ...others, ...required, ...words].join(' ');
}

const isRequired = (spec: OptionSpec): boolean => 'required' in spec && (spec.required ?? false);

/** `-D, --to <dir>` */
export function flagsOf(spec: OptionSpec): string {
  const names = spec.short === undefined ? spec.flag : `${spec.short}, ${spec.flag}`;
  return spec.kind === 'boolean' ? names : `${names} <${spec.value}>`;
}

/** The description with choices, repetition, default and whether it must be given. */
export function explain(spec: OptionSpec): string {
  const facts: string[] = [];
  if (spec.kind === 'string' && spec.choices !== undefined) facts.push(spec.choices.join(' | '));
  if (spec.kind === 'repeatable') facts.push('may be given several times');
  if ('default' in spec && spec.default !== undefined && spec.default !== '') facts.push(`default: ${spec.default}`);
  if (isRequired(spec)) facts.push('required');
  return facts.length === 0 ? spec.description : `${spec.description} (${facts.join('; ')})`;
}

/** Every status, the smallest first; those of signals included. */
export function exitsOf({ exits }: Command): [status: string, meaning: string][] {
  const own = Object.entries(exits).toSorted(([left], [right]) => Number(left) - Number(right));
  return [...own, ['130, 143', 'interrupted by SIGINT or SIGTERM, after cleaning up']];
}

/** The help of one command. */
export function renderHelp(command: Command, out: TextOutput): void {
  out.line(`${out.style('strong', 'Usage:')} ${usageOf(command)}`);
  out.line();
  out.line(`${command.summary}.`);
  if (command.description !== undefined) {
    out.line();
    for (const paragraph of command.description.split('\n\n')) {
      for (const line of wrap(paragraph)) out.line(line);
      out.line();
    }
  } else out.line();
  section(
    out,
    'Arguments',
    command.positionals.map(({ name, description }) => [name, description]),
  );
  section(
    out,
    'Options',
    Object.values(command.options).map((spec) => [flagsOf(spec), explain(spec)]),
  );
  section(
    out,
    'Global options',
    GLOBAL_OPTIONS.map((spec) => [flagsOf(spec), explain(spec)]),
  );
  section(out, 'Exit status', exitsOf(command));
  if (command.examples.length === 0) return;
  out.line(out.style('strong', 'Examples:'));
  for (const { run, note } of command.examples) {
    if (note !== undefined) out.line(`  ${out.style('dim', `# ${note}`)}`);
    out.line(`  ${run}`);
  }
}

/** All commands, or those of one group. */
export function renderOverview(commands: readonly Command[], group: string | undefined, out: TextOutput): void {
  const shown = commands.filter(
    ({ name, hidden }) => hidden !== true && (group === undefined || name.startsWith(`${group} `)),
  );
  out.line(`${out.style('strong', 'Usage:')} keyframe ${group === undefined ? '' : `${group} `}<command> [options]`);
  out.line();
  if (group === undefined) {
    out.line('PostgreSQL point-in-time recovery from one config file.');
    out.line();
  }
  section(
    out,
    'Commands',
    shown.map(({ name, summary }) => [name, summary]),
  );
  section(
    out,
    'Global options',
    GLOBAL_OPTIONS.map((spec) => [flagsOf(spec), explain(spec)]),
  );
  out.line('`keyframe <command> --help` shows options, examples and every exit status of a command.');
  if (group === undefined)
    out.line('`keyframe demo` shows everything on a throw-away server; `keyframe init` starts for real.');
}

function section(out: TextOutput, title: string, rows: readonly (readonly [string, string])[]): void {
  if (rows.length === 0) return;
  out.line(out.style('strong', `${title}:`));
  const width = Math.min(30, Math.max(...rows.map(([name]) => name.length)));
  for (const [name, text] of rows) {
    const [first = '', ...rest] = wrap(text, 96 - width);
    if (name.length > width) out.line(`  ${name}`);
    out.line(`  ${(name.length > width ? '' : name).padEnd(width)}  ${first}`);
    for (const line of rest) out.line(`  ${' '.repeat(width)}  ${line}`);
  }
  out.line();
}

function wrap(text: string, width = 100): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
