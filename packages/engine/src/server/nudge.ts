/** SQL side of a backup: switch WAL on an idle primary, and say how its archiver fares. @packageDocumentation */
import { isKeyframeError, KeyframeError } from '@keyframe/contracts';
import {
  connectSql,
  type ConnectionTarget,
  emitMessage,
  inspectServer,
  type SqlSession,
  switchWal,
} from '@keyframe/postgres';
import type { WalNudge } from '../backup/await-wal.ts';

/** Within which the server must have answered: the wait for WAL has an end, and so must its questions. */
const ANSWER_MS = 15_000;

/** How the server is asked. */
export interface NudgeOptions {
  readonly target: ConnectionTarget;
  readonly now: () => number;
  readonly signal?: AbortSignal | undefined;
  /** Default 15 s. */
  readonly answerMs?: number | undefined;
}

export function createNudge({ target, now, signal, answerMs = ANSWER_MS }: NudgeOptions): WalNudge {
  /** One question in a session of its own: a backup may run for hours, an idle session may not. */
  const ask = async (question: (sql: SqlSession) => Promise<string | undefined>): Promise<string | undefined> => {
    const limit = AbortSignal.timeout(answerMs);
    try {
      const sql = await connectSql(target, { signal: signal === undefined ? limit : AbortSignal.any([signal, limit]) });
      try {
        return await question(sql);
      } finally {
        await sql.close();
      }
    } catch (error) {
      signal?.throwIfAborted();
      return reason(limit.aborted ? noAnswer(answerMs, error) : error);
    }
  };
  return {
    switchWal: () =>
      ask(async (sql) => {
        await emitMessage(sql, 'backup');
        await switchWal(sql);
        return undefined;
      }),
    archiverState: () =>
      ask(async (sql) => {
        const { archiver, wal } = await inspectServer(sql, { now });
        if (archiver?.failing === true)
          return `its archiver failed last on ${archiver.lastFailedWal} at ${archiver.lastFailedTime}`;
        const waiting = wal.readyFiles ?? 0;
        if (waiting > 0)
          return `WAL files that wait in pg_wal: ${waiting}, failures that are counted: none; archive_command is slow, unset or cannot be run`;
        if (archiver?.lastArchivedWal === undefined) return undefined;
        return `its archiver reports ${archiver.lastArchivedWal} as archived: archive_command may deliver elsewhere`;
      }),
  };
}

function noAnswer(answerMs: number, cause: unknown): KeyframeError {
  return new KeyframeError('SERVER_UNREACHABLE', `the server gave no answer within ${answerMs / 1000} s`, { cause });
}

/** A fault becomes its text: the wait for WAL goes on without the nudge and names the reason when it runs out. */
function reason(error: unknown): string {
  if (isKeyframeError(error)) return error.message;
  throw error;
}
