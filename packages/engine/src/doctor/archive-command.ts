/** Recognises an archive_command of Keyframe's. @packageDocumentation */
import { basename } from 'node:path';
import { parseCommandSetting } from '@keyframe/postgres';

/** What an archive_command runs, as far as its text tells. */
export interface ArchiveCommand {
  /**
   * `keyframe`: one plain call of ours. `mixed`: names Keyframe among shell operators, so its status may not be ours.
   * `foreign`: something else. `none`: empty, or not set.
   */
  readonly kind: 'none' | 'foreign' | 'mixed' | 'keyframe';
  /** Through the shell wrapper, which answers most calls without starting Node. */
  readonly wrapped: boolean;
  readonly passesPath: boolean;
  readonly config: string | undefined;
  readonly cluster: string | undefined;
  readonly repository: string | undefined;
  /** Absolute paths that must be there, the ones to be run first. */
  readonly programs: readonly string[];
  readonly scripts: readonly string[];
}

const NOTHING: ArchiveCommand = {
  kind: 'none',
  wrapped: false,
  passesPath: false,
  config: undefined,
  cluster: undefined,
  repository: undefined,
  programs: [],
  scripts: [],
};

const WRAPPER = 'keyframe-archive-command';

/** Judges by the text alone: whether the files are there is for others to see. */
export function readArchiveCommand(setting: string): ArchiveCommand {
  if (setting.trim() === '') return NOTHING;
  const words = parseCommandSetting(setting);
  if (words === undefined) return { ...NOTHING, kind: /\bkeyframe\b/.test(setting) ? 'mixed' : 'foreign' };
  const wrapped = basename(words[0] ?? '') === WRAPPER;
  const direct = words.some((word, index) => word === 'wal' && words[index + 1] === 'push');
  const ours =
    wrapped || (direct && words.slice(0, 3).some((word) => /keyframe|main\.(?:ts|mjs)$/.test(basename(word))));
  if (!ours) return { ...NOTHING, kind: 'foreign' };
  const paths = words.slice(0, 3).filter((word) => word.startsWith('/'));
  return {
    kind: 'keyframe',
    wrapped,
    passesPath: words.includes('%p'),
    config: optionOf(words, '--config'),
    cluster: optionOf(words, '--cluster'),
    repository: optionOf(words, '--repository'),
    programs: paths.filter((path) => !isScript(path)),
    scripts: paths.filter(isScript),
  };
}

const isScript = (path: string): boolean => /\.[mc]?[jt]s$/.test(path);

/** `--name value` or `--name=value`; the last one counts. */
function optionOf(words: readonly string[], name: string): string | undefined {
  const index = words.findLastIndex((word) => word === name || word.startsWith(`${name}=`));
  const word = words[index];
  if (word === undefined) return undefined;
  return word === name ? words[index + 1] : word.slice(name.length + 1);
}
