/**
 * postgresql.auto.conf of a restored data directory: what earlier recoveries left is removed, what Keyframe needs is
 * written as one marked block at the end, everything else stays byte for byte.
 * @packageDocumentation
 */
import { quoteForConfig, unquoteFromConfig } from './quoting.ts';

const BEGIN = '# >>> keyframe: written by a restore, removed by `keyframe adopt`';
const END = '# <<< keyframe';

/** Settings that steer a recovery or tie a server to another one. A leftover of any of them spoils the next recovery. */
const LEFTOVERS: ReadonlySet<string> = new Set([
  'archive_cleanup_command',
  'primary_conninfo',
  'primary_slot_name',
  'promote_trigger_file',
  'recovery_end_command',
  'recovery_min_apply_delay',
  'recovery_target',
  'recovery_target_action',
  'recovery_target_inclusive',
  'recovery_target_lsn',
  'recovery_target_name',
  'recovery_target_time',
  'recovery_target_timeline',
  'recovery_target_xid',
  'restore_command',
  'standby_mode',
  'synchronous_standby_names',
  'trigger_file',
]);
const ARCHIVING: ReadonlySet<string> = new Set(['archive_command', 'archive_library', 'archive_mode']);
/** Values by which a restore switches archiving off. ALTER SYSTEM drops our markers, so they are recognised by value. */
const SWITCHED_OFF: ReadonlySet<string> = new Set(['', 'off', 'false', 'no', '0']);

/** One `name = value` line. */
export interface ConfigSetting {
  /** In lower case: PostgreSQL ignores the case of names. */
  readonly name: string;
  readonly value: string;
}

/** How far the cleaning goes. */
export interface CleanOptions {
  /**
   * `restored` (default) drops only archive settings that an earlier restore switched off; `all` drops every
   * archive_mode, archive_command and archive_library line.
   */
  readonly archiving?: 'restored' | 'all' | undefined;
}

const SETTING =
  /^[ \t]*([A-Za-z_][A-Za-z0-9_$.]*)(?:[ \t]*=[ \t]*|[ \t]+)('(?:[^'\\]|\\.|'')*'|[^\s#']+)[ \t]*(?:#.*)?$/;

/** The setting of one line of a configuration file; `undefined` for blanks, comments and what PostgreSQL would refuse. */
export function parseConfigLine(line: string): ConfigSetting | undefined {
  const [, name, token] = SETTING.exec(line.replace(/\r?\n?$/, '')) ?? [];
  if (name === undefined || token === undefined) return undefined;
  return { name: name.toLowerCase(), value: unquoteFromConfig(token) };
}

/** All settings of a configuration file in order; the last one of a name counts. Include directives come as they stand. */
export function parseConfig(text: string): readonly ConfigSetting[] {
  return linesOf(text)
    .map(parseConfigLine)
    .filter((setting) => setting !== undefined);
}

/** Removes every leftover of earlier recoveries and our own block. All other lines, also unreadable ones, stay as they are. */
export function cleanAutoConf(text: string, { archiving = 'restored' }: CleanOptions = {}): string {
  return withoutBlocks(linesOf(text))
    .filter((line) => {
      const setting = parseConfigLine(line);
      if (setting === undefined) return true;
      if (LEFTOVERS.has(setting.name)) return false;
      if (!ARCHIVING.has(setting.name)) return true;
      return archiving === 'restored' && !SWITCHED_OFF.has(setting.value.toLowerCase());
    })
    .join('');
}

/** Only our own block goes: what stood there before a restore holds again. */
export function removeConfigBlock(text: string): string {
  return withoutBlocks(linesOf(text)).join('');
}

/** Our own block, to be appended. It stands last because the last line of a name counts. */
export function renderConfigBlock(settings: readonly (readonly [name: string, value: string])[]): string {
  return [BEGIN, ...settings.map(([name, value]) => `${name} = ${quoteForConfig(value)}`), END, ''].join('\n');
}

/**
 * The whole file for a restored data directory. Works on bytes, so that values in any encoding survive.
 * Doing it twice gives the same bytes as doing it once.
 */
export function rewriteAutoConf(
  bytes: Uint8Array,
  settings: readonly (readonly [name: string, value: string])[],
  options: CleanOptions = {},
): Buffer {
  const kept = cleanAutoConf(Buffer.from(bytes).toString('latin1'), options);
  const separator = kept === '' || kept.endsWith('\n') ? '' : '\n';
  return Buffer.concat([Buffer.from(kept + separator, 'latin1'), Buffer.from(renderConfigBlock(settings))]);
}

/** Lines with their line ends. */
function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** A begin marker without its end (a cut file) is dropped alone: its settings are judged by name like any other. */
function withoutBlocks(lines: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index] ?? '';
    if (line.trim() !== BEGIN) {
      kept.push(line);
      continue;
    }
    const end = lines.findIndex((each, at) => at > index && each.trim() === END);
    if (end !== -1) index = end;
  }
  return kept;
}
