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

/** Writes a WAL record and switches to the next segment, so that an idle primary's last segment is archived. */
export interface WalNudge {
  /** Resolves with why it could not (a standby, missing rights), or `undefined` when done. */
  switchWal(): Promise<string | undefined>;
  /** One line about the server's archiver for the error text: last failure, last success. */
  archiverState(): Promise<string | undefined>;
}

interface AwaitContext {
  readonly wal: Pick<WalArchive, 'has'>;
  readonly nudge: WalNudge;
  readonly timeoutMs: number;
}

const POLL_MS = 250;
/** BASE_BACKUP has switched WAL itself on a primary; only when that did not show within this time it is asked again. */
const NUDGE_AFTER_MS = 5_000;

/** Names of the segments from the one that holds `from` to the one that holds the byte before `to`. */
export function segmentsOf({ timeline, from, to, segmentSizeBytes }: WalRange): string[] {
  const size = BigInt(segmentSizeBytes);
  const names: string[] = [];
  for (let number = from / size; number <= (to - 1n) / size; number += 1n)
    names.push(segmentName(timeline, number, segmentSizeBytes));
  return names;
}

/** @throws {KeyframeError} BACKUP_WAL_MISSING when the wait runs out. */
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
  while (missing.length > 0) {
    const waited = performance.now() - started;
    if (waited > context.timeoutMs) throw await walMissing(context, missing, refusal);
    if (!nudged && waited > Math.min(NUDGE_AFTER_MS, context.timeoutMs / 2)) {
      nudged = true;
      refusal = await context.nudge.switchWal();
    }
    await pause(POLL_MS, options.signal);
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

async function walMissing(
  context: AwaitContext,
  missing: readonly string[],
  refusal: string | undefined,
): Promise<KeyframeError> {
  const archiver = await context.nudge.archiverState();
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
