/** What can only be seen by SQL: how the slot stands, and what commits wait for. @packageDocumentation */
import { isKeyframeError, KeyframeError } from '@keyframe/contracts';
import {
  type ConnectionTarget,
  connectSql,
  readSlotState,
  readSynchronousSettings,
  type SqlSession,
} from '@keyframe/postgres';
import { pause } from '../pause.ts';
import type { OnReceive } from './receive-event.ts';

/** What is watched. */
export interface WatchRequest {
  readonly target: ConnectionTarget;
  readonly slot: string;
  readonly applicationName: string;
  readonly synchronous: boolean;
  readonly everyMs: number;
  readonly onEvent: OnReceive;
  readonly signal: AbortSignal;
}

/** Of what the slot may keep, at least this share should be free. */
const FREE_SHARE = 0.5;

/**
 * Looks every now and then until the signal aborts. Rejects only for what the receiver must not go on with.
 * @throws {KeyframeError} INVALID_OPTION when commits would wait for ever
 */
export async function watchServer(request: WatchRequest): Promise<void> {
  const { target, signal, onEvent, everyMs } = request;
  const told = new Set<string>();
  const once = (message: string, hint?: string): void => {
    if (told.has(message)) return;
    told.add(message);
    onEvent({ kind: 'warning', message, hint });
  };
  let sql: SqlSession | undefined;
  try {
    while (!signal.aborted) {
      try {
        if (sql?.lost.aborted === true) sql = undefined;
        sql ??= await connectSql(target, { signal });
        await look(request, sql, once);
      } catch (error) {
        if (signal.aborted) return;
        if (!isKeyframeError(error) || error.code === 'INVALID_OPTION') throw error;
        once(`the slot is not watched: ${error.message}`, error.hint);
      }
      await pause(everyMs, signal).catch(() => undefined);
    }
  } finally {
    await sql?.close();
  }
}

type Once = (message: string, hint?: string) => void;

async function look(request: WatchRequest, sql: SqlSession, once: Once): Promise<void> {
  await lookAtSlot(request, sql, once);
  await lookAtCommits(request, sql, once);
}

async function lookAtSlot({ slot, onEvent }: WatchRequest, sql: SqlSession, once: Once): Promise<void> {
  const state = await readSlotState(sql, slot);
  const [cap] = await sql.query<{ value: string }>(`select current_setting('max_slot_wal_keep_size') as value`);
  if (cap?.value === '-1')
    once(
      `nothing limits what the slot ${slot} keeps: without a receiver it fills the disk of the server`,
      "Set a cap: `alter system set max_slot_wal_keep_size = '50GB'`, then `select pg_reload_conf()`.",
    );
  if (state?.walStatus === undefined) return;
  const { walStatus, keptBytes, safeWalBytes } = state;
  const isTight =
    safeWalBytes !== undefined && keptBytes !== undefined && safeWalBytes < FREE_SHARE * (safeWalBytes + keptBytes);
  if (walStatus !== 'reserved' || isTight) onEvent({ kind: 'slot', slot, walStatus, keptBytes, safeWalBytes });
}

async function lookAtCommits(request: WatchRequest, sql: SqlSession, once: Once): Promise<void> {
  const { applicationName, synchronous } = request;
  const { standbyNames, commitValues, syncState } = await readSynchronousSettings(sql, applicationName);
  if (synchronous && commitValues.includes('remote_apply')) throw appliesNothing();
  const isWaitedFor = syncState === 'sync' || syncState === 'quorum';
  if (isWaitedFor && !synchronous)
    once(
      `commits wait for this receiver as long as its flush interval (synchronous_standby_names = '${standbyNames}')`,
      'Set `receive.synchronous: true`, or name other standbys in synchronous_standby_names.',
    );
  if (synchronous && syncState === 'async')
    once(
      `no commit waits for this receiver: synchronous_standby_names = '${standbyNames}' does not name ${applicationName}`,
      `Run \`alter system set synchronous_standby_names = '${applicationName}'\`, then \`select pg_reload_conf()\`.`,
    );
}

/** A receiver stores WAL and replays nothing, so such a commit would never return. */
export function appliesNothing(): KeyframeError {
  return new KeyframeError(
    'INVALID_OPTION',
    'synchronous_commit = remote_apply waits until a standby has replayed the commit, and a receiver replays nothing: every commit would hang',
    {
      hint: 'Set synchronous_commit to `on` (also for roles and databases that have a value of their own), then start again.',
    },
  );
}
