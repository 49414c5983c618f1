/** Waits until the repository holds every WAL segment a backup needs. @packageDocumentation */
import { formatLsn, KeyframeError, type Lsn, segmentName, type TimelineId } from '@keyframe/contracts';
import type { WalArchive } from '@keyframe/repository';
import type { StageOptions } from '../events.ts';
import { pause } from '../pause.ts';

/** The LSN range whose WAL a backup needs. */
export interface WalRange {
  readonly timeline: TimelineId;
  readonly from: Lsn;
  readonly to: Lsn;
  readonly segmentSizeBytes: number;
}

/** How the server's WAL fares on its way out. */
export interface ArchiverReport {
  /** One line for people: the last failure, what waits, the last success. */
  readonly state?: string | undefined;
  /** PostgreSQL tries, and its last attempt failed. */
  readonly isFailing?: boolean | undefined;
  /** The last file that PostgreSQL holds archived; it never hands it out again. */
  readonly lastArchived?: string | undefined;
  /** Why no WAL comes here as the server is set up, and what to do. */
  readonly obstacle?: { readonly what: string; readonly fix?: string | undefined } | undefined;
  /** A Keyframe receives WAL by streaming, so archive_command is not all there is. */
  readonly isStreamed?: boolean | undefined;
}

/** Writes a WAL record and switches to the next segment, so that an idle primary's last segment is archived. */
export interface WalNudge {
  /** Resolves with why it could not (a standby, missing rights), or `undefined` when done. */
  switchWal(): Promise<string | undefined>;
  archiver(): Promise<ArchiverReport>;
}

interface AwaitContext {
  readonly wal: Pick<WalArchive, 'has'>;
  readonly nudge: WalNudge;
  readonly timeoutMs: number;
}

/** An archiver that is not behind delivers within some 100 ms, and each look is a request: soon at first, then less often. */
const POLL_MS = { first: 20, growth: 1.5, most: 250 } as const;
/** BASE_BACKUP has switched WAL itself on a primary; only when that did not show within this time it is asked again. */
const NUDGE_AFTER_MS = 5_000;
/** When the server is first asked how its archiver fares, and after how long again. */
const ASK_AFTER_MS = 1_500;
const ASK_EVERY_MS = 3_000;

/** Names of the segments from the one that holds `from` to the one that holds the byte before `to`. */
export function segmentsOf({ timeline, from, to, segmentSizeBytes }: WalRange): string[] {
  const size = BigInt(segmentSizeBytes);
  const names: string[] = [];
  for (let number = from / size; number <= (to - 1n) / size; number += 1n)
    names.push(segmentName(timeline, number, segmentSizeBytes));
  return names;
}

/**
 * Waits as long as waiting can help: what archive_command fails on or is slow with may still come, what PostgreSQL holds
 * archived and the repository does not have will not.
 * @throws {KeyframeError} BACKUP_WAL_MISSING when the wait runs out, or is in vain
 */
export async function awaitWal(context: AwaitContext, range: WalRange, options: StageOptions): Promise<void> {
  options.onEvent?.({
    kind: 'phase',
    phase: 'wal',
    message: `waiting for WAL up to ${formatLsn(range.to)} in the repository`,
  });
  let missing = await absent(context.wal, segmentsOf(range), options);
  const started = performance.now();
  let refusal: string | undefined;
  let nudged = false;
  let pollMs: number = POLL_MS.first;
  let nextQuestion = ASK_AFTER_MS;
  const ask = questions(context, options);
  while (missing.length > 0) {
    const waited = performance.now() - started;
    if (waited > context.timeoutMs) throw await walMissing(context, missing, refusal);
    if (waited > nextQuestion) {
      nextQuestion = waited + ASK_EVERY_MS;
      await ask(missing);
    }
    if (!nudged && waited > Math.min(NUDGE_AFTER_MS, context.timeoutMs / 2)) {
      nudged = true;
      refusal = await context.nudge.switchWal();
    }
    await pause(pollMs, options.signal);
    pollMs = Math.min(pollMs * POLL_MS.growth, POLL_MS.most);
    missing = await absent(context.wal, missing, options);
  }
}

async function absent(
  wal: Pick<WalArchive, 'has'>,
  names: readonly string[],
  options: StageOptions,
): Promise<string[]> {
  const missing: string[] = [];
  for (const name of names) if (!(await wal.has(name, options))) missing.push(name);
  return missing;
}

/** Asks the server; tells once what is wrong, and raises it when the server says for the second time that nothing will come. */
function questions(context: AwaitContext, options: StageOptions): (missing: readonly string[]) => Promise<void> {
  const told = new Set<string>();
  let wasInVain = false;
  return async (missing) => {
    const report = await context.nudge.archiver();
    // In this order: what is archived here is in the repository before PostgreSQL knows.
    const still = await absent(context.wal, missing, options);
    const lost = whyInVain(report, still);
    if (lost !== undefined && wasInVain) throw inVain(lost, report, still);
    wasInVain = lost !== undefined;
    const message = report.isFailing === true ? report.state : undefined;
    if (message === undefined || told.has(message) || still.length === 0) return;
    told.add(message);
    options.onEvent?.({
      kind: 'warning',
      message: `WAL does not reach the repository: ${message}`,
      hint: 'Read the reason in the server log, or run `keyframe doctor`; the backup goes on waiting until `walTimeout`.',
    });
  };
}

/** Why waiting for those segments is in vain, by what the server says of them; asked before they were looked for. */
export function whyInVain(
  { lastArchived, isStreamed }: Pick<ArchiverReport, 'lastArchived' | 'isStreamed'>,
  missing: readonly string[],
): string | undefined {
  if (isStreamed === true) return undefined;
  const lost = missing.find((name) => isHeldArchived(name, lastArchived));
  if (lost === undefined) return undefined;
  return `PostgreSQL holds WAL segment ${lost} archived, and it is not in the repository`;
}

/** PostgreSQL archives in order of names. A backup history file goes ahead of the segment that it is named for. */
function isHeldArchived(segment: string, lastArchived: string | undefined): boolean {
  if (lastArchived === undefined || lastArchived.slice(0, 8) !== segment.slice(0, 8)) return false;
  if (/^[0-9A-F]{24}$/.test(lastArchived)) return segment <= lastArchived;
  return /^[0-9A-F]{24}\.[0-9A-F]{8}\.backup$/.test(lastArchived) && segment < lastArchived.slice(0, 24);
}

function inVain(why: string, { obstacle }: ArchiverReport, missing: readonly string[]): KeyframeError {
  const cause = obstacle === undefined ? '' : `: ${obstacle.what}`;
  const fix = obstacle?.fix ?? 'Set archive_command as `keyframe setup` prints it.';
  return new KeyframeError('BACKUP_WAL_MISSING', `the backup was not published: ${why}${cause}`, {
    hint: `${fix} Look again with \`keyframe doctor\`, then run \`keyframe backup\` anew.`,
    details: { missing: missing.join(' ') },
  });
}

async function walMissing(
  context: AwaitContext,
  missing: readonly string[],
  refusal: string | undefined,
): Promise<KeyframeError> {
  const { state: archiver } = await context.nudge.archiver();
  const parts = [
    `the backup was not published: ${missing.length} WAL segment${missing.length === 1 ? '' : 's'} it needs did not reach the repository`,
    `within ${Math.round(context.timeoutMs / 1000)} s, first ${missing[0]}`,
    ...(refusal === undefined ? [] : [`(no WAL switch: ${refusal})`]),
    ...(archiver === undefined ? [] : [`(${archiver})`]),
  ];
  return new KeyframeError('BACKUP_WAL_MISSING', parts.join(' '), {
    hint: 'Run `keyframe doctor` to see why archive_command does not deliver; raise `walTimeout` when it is only slow; on a standby run pg_switch_wal() on the primary.',
    details: { missing: missing.join(' ') },
  });
}
