/**
 * Settings of one recovery, for postgresql.auto.conf beside an empty `recovery.signal`.
 * @see https://www.postgresql.org/docs/18/runtime-config-wal.html#RUNTIME-CONFIG-WAL-RECOVERY-TARGET
 * @packageDocumentation
 */
import { formatLsn, KeyframeError, type Lsn, type TimelineId } from '@keyframe/contracts';
import { renderConfigBlock } from './auto-conf.ts';

/** Where recovery stops. `latest` is the end of the WAL on the timeline. */
export type RecoveryStop =
  | { readonly kind: 'latest' }
  | { readonly kind: 'immediate' }
  | { readonly kind: 'name'; readonly name: string }
  /** ISO time with a numeric offset, at most six fractional digits: `2026-11-03 14:05:59.123456+00`. */
  | { readonly kind: 'time'; readonly time: string; readonly inclusive: boolean }
  | { readonly kind: 'xid'; readonly xid: number; readonly inclusive: boolean }
  | { readonly kind: 'lsn'; readonly lsn: Lsn; readonly inclusive: boolean };

/** What {@link recoverySettings} turns into lines. */
export interface RecoverySettings {
  /** See `quoteForCommandSetting`. */
  readonly restoreCommand: string;
  readonly stop: RecoveryStop;
  /** Always a number: `latest` would follow whatever timeline the archive happens to hold. */
  readonly timeline: TimelineId;
  readonly action: 'pause' | 'promote' | 'shutdown';
  /** Further settings, e.g. minimums of hot standby. They win over ours. */
  readonly extra?: Readonly<Record<string, string>> | undefined;
}

const OFFSET = /[+-][0-9]{2}(?::?[0-9]{2}){0,2}$/;

/**
 * Name and value pairs in the order they must stand. Archiving is off and the server is tied to no other one.
 * The targets that are not used come first and empty: the data directory's postgresql.conf may set one, and PostgreSQL
 * refuses to start with two. An empty one after ours would reset ours.
 * @throws {KeyframeError} INVALID_OPTION, TARGET_AMBIGUOUS for a time without a numeric offset
 */
export function recoverySettings(recovery: RecoverySettings): readonly (readonly [string, string])[] {
  const { name, value, inclusive } = target(recovery.stop);
  const unused = TARGETS.filter((each) => each !== name).map((each) => [each, ''] as const);
  const settings = new Map<string, string>([
    ['archive_mode', 'off'],
    ['archive_command', ''],
    ['primary_conninfo', ''],
    ['primary_slot_name', ''],
    ['synchronous_standby_names', ''],
    ['archive_cleanup_command', ''],
    ['recovery_end_command', ''],
    ['recovery_min_apply_delay', '0'],
    ['restore_command', recovery.restoreCommand],
    ...unused,
  ]);
  if (name !== undefined) settings.set(name, value);
  settings.set('recovery_target_inclusive', inclusive ? 'on' : 'off');
  settings.set('recovery_target_timeline', String(recovery.timeline));
  settings.set('recovery_target_action', recovery.action);
  // Where nobody could connect to end the pause, PostgreSQL shuts down instead.
  if (recovery.action === 'pause') settings.set('hot_standby', 'on');
  for (const [extra, extraValue] of Object.entries(recovery.extra ?? {})) {
    settings.delete(extra);
    settings.set(extra, extraValue);
  }
  return [...settings];
}

/** The marked block of these settings, ready to be appended to postgresql.auto.conf. */
export function renderRecoverySettings(recovery: RecoverySettings): string {
  return renderConfigBlock(recoverySettings(recovery));
}

const TARGETS = [
  'recovery_target',
  'recovery_target_lsn',
  'recovery_target_name',
  'recovery_target_time',
  'recovery_target_xid',
] as const;

function target(stop: RecoveryStop): {
  readonly name: (typeof TARGETS)[number] | undefined;
  readonly value: string;
  readonly inclusive: boolean;
} {
  if (stop.kind === 'latest') return { name: undefined, value: '', inclusive: true };
  if (stop.kind === 'immediate') return { name: 'recovery_target', value: 'immediate', inclusive: true };
  if (stop.kind === 'name')
    return { name: 'recovery_target_name', value: restorePointName(stop.name), inclusive: true };
  const { inclusive } = stop;
  if (stop.kind === 'xid') return { name: 'recovery_target_xid', value: String(stop.xid), inclusive };
  if (stop.kind === 'lsn') return { name: 'recovery_target_lsn', value: formatLsn(stop.lsn), inclusive };
  if (OFFSET.test(stop.time)) return { name: 'recovery_target_time', value: stop.time, inclusive };
  throw new KeyframeError('TARGET_AMBIGUOUS', `the time ${stop.time} has no numeric offset`, {
    hint: 'Write the offset behind it, such as `--time "2026-11-03 14:05:59+00"`.',
  });
}

/** PostgreSQL's MAXFNAMELEN: it refuses a longer recovery_target_name at start, so we refuse it before. */
function restorePointName(name: string): string {
  if (name === '' || Buffer.byteLength(name) > 63)
    throw new KeyframeError('INVALID_OPTION', `${JSON.stringify(name)} cannot be the name of a restore point`, {
      hint: 'Give `--name` 1 to 63 bytes, as pg_create_restore_point() does.',
    });
  return name;
}
