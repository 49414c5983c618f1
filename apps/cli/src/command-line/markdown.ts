/** docs/cli.md, made from the commands. @packageDocumentation */
import type { Command } from '../command.ts';
import { exitsOf, explain, flagsOf, usageOf } from './help.ts';
import { GLOBAL_OPTIONS } from './parse.ts';
import type { OptionSpec } from './spec.ts';

/** The whole page. */
export function renderMarkdown(commands: readonly Command[]): string {
  const shown = commands.filter(({ hidden }) => hidden !== true);
  return [
    '# Command line',
    'Made by `npm run docs` from the commands themselves: do not edit it by hand.',
    'stdout is data, stderr is talk. With `--json` stdout is exactly one JSON document; a fault is `{ "error": { "code", "message", "causes", "hint", "details" } }`, and [errors.md](errors.md) explains every code.',
    '## Global options',
    'They are understood before and after the name of the command.',
    optionList(GLOBAL_OPTIONS),
    '## Exit statuses',
    'Unless a command says otherwise: 0 done, 1 fault, 2 bad configuration or arguments, 3 finished but incomplete, 4 verification failed, 5 locked; 130 and 143 after SIGINT and SIGTERM. Every command lists its own below.',
    '## Commands',
    shown.map(({ name, summary }) => `- [\`keyframe ${name}\`](#${anchorOf(name)}): ${lowerFirst(summary)}`).join('\n'),
    ...shown.flatMap(sectionOf),
    '',
  ]
    .join('\n\n')
    .replace(/\n+$/, '\n');
}

/** As the hosts of Markdown make it from a heading. */
const anchorOf = (name: string): string => `keyframe-${name.replaceAll(' ', '-')}`;

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

function optionList(specs: readonly OptionSpec[]): string {
  return specs.map((spec) => `- \`${flagsOf(spec)}\`: ${escape(explain(spec))}`).join('\n');
}

/** A `<word>` or a `*` in running text would be taken for markup. */
const escape = (text: string): string =>
  text
    .split(/(`[^`]*`)/)
    .map((part) => (part.startsWith('`') ? part : part.replaceAll(/[<*]/g, String.raw`\$&`)))
    .join('');

/** A line for a file begins with `#`, which would be a heading. */
const paragraphOf = (text: string): string => (text.startsWith('#') ? `\`\`\`\n${text}\n\`\`\`` : escape(text));

function sectionOf(command: Command): string[] {
  const { name, summary, description, positionals, options, examples } = command;
  const parts = [`### keyframe ${name}`, `\`${usageOf(command)}\``, `${escape(summary)}.`];
  if (description !== undefined) parts.push(...description.split('\n\n').map(paragraphOf));
  if (positionals.length > 0)
    parts.push('Arguments:', positionals.map((each) => `- \`${each.name}\`: ${escape(each.description)}`).join('\n'));
  const specs = Object.values(options);
  if (specs.length > 0) parts.push('Options:', optionList(specs));
  parts.push(
    'Exit status:',
    exitsOf(command)
      .map(([status, meaning]) => `- \`${status}\`: ${escape(meaning)}`)
      .join('\n'),
  );
  if (examples.length > 0) {
    const lines = examples.flatMap(({ run, note }) => (note === undefined ? [run] : [`# ${note}`, run]));
    parts.push('Examples:', ['```sh', ...lines, '```'].join('\n'));
  }
  return parts;
}
