import { formatLsn, KeyframeError, type Lsn, parseLsn, type TimelineId } from '@keyframe/contracts';
import type { RecoveryStop } from '@keyframe/postgres';
import { parseTargetTime, type TargetTime, type TimeContext } from './time.ts';

/** Where a recovery is to stop. */
export type RecoveryTarget = (
  | ({ readonly kind: 'time'; readonly inclusive: boolean } & TargetTime)
  /** The end of that transaction, whether it committed or aborted. The xid as WAL has it: 32 bits. */
  | { readonly kind: 'xid'; readonly xid: number; readonly inclusive: boolean }
  | { readonly kind: 'lsn'; readonly lsn: Lsn; readonly inclusive: boolean }
  | { readonly kind: 'name'; readonly name: string }
  /** As soon as the backup is consistent. */
  | { readonly kind: 'immediate' }
  /** The end of the archived WAL. */
  | { readonly kind: 'latest' }
) & {
  /** The timeline to follow. Default: the newest. */
  readonly timeline?: TimelineId | undefined;
};

/** A target as commands take it: texts as the user wrote them. */
export interface TargetOptions {
  readonly time?: string | undefined;
  readonly timeZone?: string | undefined;
  readonly xid?: string | undefined;
  readonly beforeXid?: string | undefined;
  readonly lsn?: string | undefined;
  readonly name?: string | undefined;
  readonly immediate?: boolean | undefined;
  readonly latest?: boolean | undefined;
  readonly timeline?: number | undefined;
  readonly exclusive?: boolean | undefined;
}

const KINDS = ['time', 'xid', 'beforeXid', 'lsn', 'name', 'immediate', 'latest'] as const;
type Kind = (typeof KINDS)[number];
const flagOf = (kind: Kind): string => (kind === 'beforeXid' ? '--before-xid' : `--${kind}`);
const invalid = (message: string, hint: string): KeyframeError =>
  new KeyframeError('INVALID_OPTION', message, { hint });

/**
 * Reads the one target that was given. Without `exclusive` the target itself is kept, as PostgreSQL does.
 * @throws {KeyframeError} INVALID_OPTION, TARGET_AMBIGUOUS
 */
export function parseTarget(
  options: TargetOptions,
  context: { readonly localZone?: string | undefined; readonly now: () => Date },
): RecoveryTarget {
  const given = KINDS.filter((kind) => options[kind] !== undefined && options[kind] !== false);
  const [kind] = given;
  const all = KINDS.map(flagOf).join(', ');
  if (kind === undefined) throw invalid('no recovery target is given', `Give one of ${all}.`);
  const flags = given.map(flagOf).join(' and ');
  if (given.length > 1) throw invalid(`${flags} were combined`, `Give only one of ${all}; PostgreSQL takes no two.`);
  const exclusive = options.exclusive === true;
  if (exclusive && kind !== 'time' && kind !== 'xid' && kind !== 'lsn')
    throw invalid(`--exclusive does not go with ${flags}`, 'Use it with --time, --xid or --lsn.');
  if (options.timeZone !== undefined && kind !== 'time')
    throw invalid(`--time-zone does not go with ${flags}`, 'Use it with --time.');
  const target = readTarget(kind, options, { ...context, timeZone: options.timeZone }, !exclusive);
  return { ...target, timeline: readTimeline(options.timeline) };
}

function readTarget(kind: Kind, options: TargetOptions, context: TimeContext, inclusive: boolean): RecoveryTarget {
  const text = String(options[kind]);
  switch (kind) {
    case 'time':
      return { kind, inclusive, ...parseTargetTime(text, context) };
    case 'xid':
      return { kind, inclusive, xid: readXid(text) };
    case 'beforeXid':
      return { kind: 'xid', inclusive: false, xid: readXid(text) };
    case 'lsn':
      return { kind, inclusive, lsn: parseLsn(text.trim()) };
    case 'name':
      return { kind, name: readName(text) };
    case 'immediate':
    case 'latest':
    default:
      return { kind };
  }
}

/** WAL holds the low half of what pg_current_xact_id() shows. Below 3 are xids of PostgreSQL's own. */
function readXid(text: string): number {
  const digits = /^\s*(\d{1,20})\s*$/.exec(text)?.[1];
  const whole = digits === undefined ? -1n : BigInt(digits);
  const xid = Number(whole & 0xff_ff_ff_ffn);
  if (whole < 0n || whole >= 1n << 64n || xid < 3)
    throw invalid(
      `${JSON.stringify(text)} is not the id of a transaction`,
      'Write the xid in decimal, such as --xid 7431.',
    );
  return xid;
}

/** PostgreSQL's limit of a name is 63 bytes. */
function readName(name: string): string {
  if (name !== '' && Buffer.byteLength(name) <= 63 && !name.includes('\0')) return name;
  throw invalid(
    `${JSON.stringify(name)} cannot be the name of a restore point`,
    'Give --name the 1 to 63 bytes that pg_create_restore_point() was given.',
  );
}

function readTimeline(timeline: number | undefined): TimelineId | undefined {
  const legal = timeline === undefined || (Number.isInteger(timeline) && timeline > 0 && timeline < 2 ** 32);
  if (legal) return timeline;
  throw invalid(
    `${timeline} is no timeline`,
    'Give --timeline a number from 1 up; `keyframe wal status` shows which there are.',
  );
}

/** The target for PostgreSQL's settings. */
export function stopOf(target: RecoveryTarget): RecoveryStop {
  switch (target.kind) {
    case 'time':
      return { kind: 'time', time: target.utc, inclusive: target.inclusive };
    case 'xid':
      return { kind: 'xid', xid: target.xid, inclusive: target.inclusive };
    case 'lsn':
      return { kind: 'lsn', lsn: target.lsn, inclusive: target.inclusive };
    case 'name':
      return { kind: 'name', name: target.name };
    case 'immediate':
    case 'latest':
    default:
      return { kind: target.kind };
  }
}

/** The target for people; a time as it was written and in UTC. */
export function describeTarget(target: RecoveryTarget): string {
  const before = 'inclusive' in target && !target.inclusive ? 'just before ' : '';
  switch (target.kind) {
    case 'time':
      return `${before}time ${target.text}${target.text === target.utc ? '' : ` (${target.utc})`}`;
    case 'xid':
      return `${before}transaction ${target.xid}`;
    case 'lsn':
      return `${before}LSN ${formatLsn(target.lsn)}`;
    case 'name':
      return `restore point ${JSON.stringify(target.name)}`;
    case 'immediate':
      return 'the end of the backup';
    case 'latest':
    default:
      return 'the end of the archived WAL';
  }
}
