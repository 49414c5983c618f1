/**
 * Streams WAL from a server into the repository, for as long as it is let.
 *
 * Killed at any moment it loses nothing: where it goes on is read from the repository, and the server was told of nothing
 * that is not there.
 * @packageDocumentation
 */
import { mkdir, rm } from 'node:fs/promises';
import { type Abortable, formatLsn, hasCode, isKeyframeError, type KeyframeError, type Lsn } from '@keyframe/contracts';
import type { ConnectionTarget } from '@keyframe/postgres';
import type { ClusterHistory } from '@keyframe/repository';
import { pause } from '../pause.ts';
import type { OnReceive } from './receive-event.ts';
import { Receiver } from './receiver.ts';
import { watchServer } from './slot-watch.ts';

/** What the receiver works with. */
export interface ReceiveContext {
  readonly history: ClusterHistory;
  readonly target: ConnectionTarget;
  /** For segments that are too large for memory; made if need be, and removed. */
  readonly temporaryDirectory: string;
}

/** How it works. */
export interface ReceiveRequest {
  readonly slot: string;
  /** How old WAL gets before it is stored. */
  readonly flushIntervalMs: number;
  /** How much WAL gathers before it is stored. */
  readonly flushBytes: number;
  /** Commits wait for it: everything is stored at once. */
  readonly synchronous: boolean;
  /** It ends when the repository holds WAL up to there; `now`: up to what the server has when it begins. */
  readonly until?: Lsn | 'now' | undefined;
}

/** How it ended. */
export interface ReceiveReport {
  readonly slot: string;
  readonly reason: 'stopped' | 'reached';
  readonly timeline: number | undefined;
  readonly durableLsn: string | undefined;
  readonly segments: number;
  readonly parts: number;
  readonly gaps: readonly { readonly timeline: number; readonly from: string; readonly to: string }[];
}

/** Options of the stage: `signal` ends it in order, with all that came stored. */
export interface ReceiveOptions extends Abortable {
  readonly onEvent?: OnReceive | undefined;
}

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;
/** What is under way when it is to end may take so long. */
const DRAIN_MS = 20_000;
/** PostgreSQL's names are no longer. */
const NAME_CHARACTERS = 63;
const WATCH_MS = 10_000;

/**
 * Receives until the signal aborts or the end is reached. A lost connection is made again, on whichever host is the
 * primary then; a store that does not answer is waited for.
 * @throws {KeyframeError} INVALID_OPTION, SERVER_REFUSED, SERVER_ERROR, WRONG_CLUSTER, WRONG_TIMELINE, WAL_MISMATCH,
 *   ACCESS_DENIED, WAL_INVALID
 */
export async function receiveWal(
  context: ReceiveContext,
  request: ReceiveRequest,
  { signal, onEvent = () => undefined }: ReceiveOptions = {},
): Promise<ReceiveReport> {
  const counts = { segments: 0, parts: 0 };
  const gaps: { timeline: number; from: string; to: string }[] = [];
  const tell: OnReceive = (event) => {
    if (event.kind === 'segment') counts.segments += 1;
    if (event.kind === 'durable') counts.parts += 1;
    if (event.kind === 'gap')
      gaps.push({ timeline: event.timeline, from: formatLsn(event.from), to: formatLsn(event.to) });
    onEvent(event);
  };
  const target = targetFor(context.target, request.slot);
  await mkdir(context.temporaryDirectory, { recursive: true, mode: 0o700 });
  const work = new AbortController();
  const watching = watchServer({
    target,
    slot: request.slot,
    applicationName: target.applicationName,
    synchronous: request.synchronous,
    everyMs: WATCH_MS,
    onEvent: tell,
    signal: work.signal,
  }).catch((error: unknown) => work.abort(error));
  const receiver = new Receiver({ ...context, target }, request, tell);
  let timer: NodeJS.Timeout | undefined;
  const onStop = (): void => {
    receiver.stop();
    timer = setTimeout(() => work.abort(signal?.reason), DRAIN_MS);
  };
  if (signal?.aborted === true) onStop();
  else signal?.addEventListener('abort', onStop, { once: true });
  try {
    await reconnecting(receiver, tell, work.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onStop);
    work.abort();
    await watching;
    await rm(context.temporaryDirectory, { recursive: true, force: true });
  }
  const { durable, timeline } = receiver;
  const durableLsn = durable === undefined ? undefined : formatLsn(durable);
  return {
    slot: request.slot,
    reason: receiver.reached ? 'reached' : 'stopped',
    timeline,
    durableLsn,
    ...counts,
    gaps,
  };
}

/**
 * Its name in pg_stat_replication is that of the slot, and tells that it is a Keyframe: a backup counts on it. Of several
 * hosts the primary is meant.
 */
function targetFor(target: ConnectionTarget, slot: string): ConnectionTarget {
  const own = slot.startsWith('keyframe') ? slot : `keyframe_${slot}`.slice(0, NAME_CHARACTERS);
  const applicationName = target.applicationName === 'keyframe' ? own : target.applicationName;
  const { targetSessionAttributes: wanted, hosts } = target;
  return {
    ...target,
    applicationName,
    targetSessionAttributes: wanted === 'any' && hosts.length > 1 ? 'primary' : wanted,
  };
}

async function reconnecting(receiver: Receiver, tell: OnReceive, signal: AbortSignal): Promise<void> {
  let waitMs = FIRST_PAUSE_MS;
  while (!receiver.isOver) {
    const before = receiver.durable;
    try {
      await receiver.run(signal);
      waitMs = FIRST_PAUSE_MS;
    } catch (error) {
      signal.throwIfAborted();
      if (!isPassing(error)) throw error;
      if (receiver.durable !== before) waitMs = FIRST_PAUSE_MS;
      if (receiver.isOver) return;
      tell({ kind: 'disconnected', message: error.message, retryMs: waitMs });
      await Promise.race([pause(waitMs, signal), receiver.stopped]);
      waitMs = Math.min(waitMs * 2, LONGEST_PAUSE_MS);
    }
  }
}

/** SQLSTATEs that mean "later": the slot is in use, nothing is free, the server goes away or comes up. */
const LATER: ReadonlySet<unknown> = new Set(['55006', '53300', '57P01', '57P02', '57P03', 'XX000', '58030']);

function isPassing(error: unknown): error is KeyframeError {
  if (hasCode(error, 'SERVER_UNREACHABLE', 'UNAVAILABLE')) return true;
  return isKeyframeError(error) && error.code === 'SERVER_ERROR' && LATER.has(error.details['sqlstate']);
}
