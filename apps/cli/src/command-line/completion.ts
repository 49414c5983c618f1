/** Shell completion, by way of `@bomb.sh/tab`; the only module that knows it. @packageDocumentation */
import { RootCommand } from '@bomb.sh/tab';
import type { Command } from '../command.ts';
import { GLOBAL_OPTIONS, type Registry } from './parse.ts';
import type { OptionSpec } from './spec.ts';

/** What a script can be made for. */
export type Shell = 'bash' | 'zsh' | 'fish' | 'powershell';

type Completable = ReturnType<RootCommand['command']>;

function addOption(target: Completable | RootCommand, spec: OptionSpec): void {
  const name = spec.flag.slice(2);
  const letter = spec.short?.slice(1);
  if (spec.kind === 'boolean') {
    if (letter === undefined) target.option(name, spec.description);
    else target.option(name, spec.description, letter);
    return;
  }
  const choices = spec.kind === 'string' ? (spec.choices ?? []) : [];
  const offer = (add: (value: string, description: string) => void): void => {
    for (const choice of choices) add(choice, '');
  };
  target.option(name, spec.description, offer, letter);
}

function treeOf(commands: readonly Command[]): RootCommand {
  const root = new RootCommand();
  for (const spec of GLOBAL_OPTIONS) addOption(root, spec);
  for (const { name, summary, options, hidden } of commands) {
    if (hidden === true) continue;
    // The library finds a command of two words only when the first is one too.
    const [group = '', ...rest] = name.split(' ');
    if (rest.length > 0 && !root.commands.has(group)) root.command(group, `${group} …`);
    const node = root.command(name, summary);
    for (const spec of [...Object.values(options), ...GLOBAL_OPTIONS]) addOption(node, spec);
  }
  return root;
}

/** Answers what a completion script asks (`keyframe complete -- words…`), on stdout, in the script's own form. */
export async function complete(words: readonly string[], registry: Registry): Promise<void> {
  const modules = await Promise.all(Object.values(registry).map((load) => load()));
  treeOf(modules.map(({ command }) => command)).parse([...words]);
}

/** The completion script of a shell. */
export function completionScript(shell: Shell): string {
  const lines: string[] = [];
  // The library can only print; for the length of this call its print is ours.
  /* oxlint-disable no-console */
  const { log } = console;
  console.log = (...parts: readonly unknown[]) => {
    lines.push(parts.join(' '));
  };
  try {
    new RootCommand().setup('keyframe', 'keyframe', shell);
  } finally {
    console.log = log;
  }
  /* oxlint-enable no-console */
  return lines.join('\n');
}
