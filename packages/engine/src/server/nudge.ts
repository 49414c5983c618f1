/** SQL side of a backup: switch WAL on an idle primary, and say how its archiver fares. @packageDocumentation */
import { isKeyframeError, KeyframeError } from '@keyframe/contracts';
import {
  connectSql,
  type ConnectionTarget,
  emitMessage,
  inspectServer,
  type ServerFacts,
  type SqlSession,
  switchWal,
} from '@keyframe/postgres';
import type { ArchiverReport, WalNudge } from '../backup/await-wal.ts';
import { archivingFault } from '../doctor/check-archiving.ts';
import type { ArchiveExpectation } from '../doctor/evidence.ts';

/** Within which the server must have answered: the wait for WAL has an end, and so must its questions. */
const ANSWER_MS = 15_000;

/** How the server is asked. */
export interface NudgeOptions {
  readonly target: ConnectionTarget;
  readonly now: () => number;
  /** Whose archive_command it should be; without it none is called wrong. */
  readonly expected?: ArchiveExpectation | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Default 15 s. */
  readonly answerMs?: number | undefined;
}

export function createNudge({ target, now, expected, signal, answerMs = ANSWER_MS }: NudgeOptions): WalNudge {
  /** One question in a session of its own: a backup may run for hours, an idle session may not. */
  const ask = async <Answer>(
    question: (sql: SqlSession) => Promise<Answer>,
    without: (reason: string) => Answer,
  ): Promise<Answer> => {
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
      return without(reason(limit.aborted ? noAnswer(answerMs, error) : error));
    }
  };
  return {
    switchWal: () =>
      ask<string | undefined>(
        async (sql) => {
          await emitMessage(sql, 'backup');
          await switchWal(sql);
          return undefined;
        },
        (why) => why,
      ),
    archiver: () =>
      ask<ArchiverReport>(
        async (sql) => reportOf(await inspectServer(sql, { now }), expected),
        (state) => ({ state }),
      ),
  };
}

function reportOf(facts: ServerFacts, expected: ArchiveExpectation | undefined): ArchiverReport {
  const { archiver, archiveMode, inRecovery, keyframeReceivers = 0 } = facts;
  // A standby leaves archiving to its primary.
  const archives = !inRecovery || archiveMode === 'always';
  const fault = archives && expected !== undefined ? archivingFault(facts, expected) : undefined;
  return {
    state: stateOf(facts),
    isFailing: archives && archiver?.failing === true,
    lastArchived: archives ? archiver?.lastArchivedWal : undefined,
    obstacle: fault && { what: fault.what, fix: fault.fix },
    isStreamed: keyframeReceivers > 0,
  };
}

function stateOf({ archiver, wal }: ServerFacts): string | undefined {
  if (archiver?.failing === true)
    return `its archiver failed last on ${archiver.lastFailedWal} at ${archiver.lastFailedTime}`;
  const waiting = wal.readyFiles ?? 0;
  if (waiting > 0)
    return `WAL files that wait in pg_wal: ${waiting}, failures that are counted: none; archive_command is slow, unset or cannot be run`;
  if (archiver?.lastArchivedWal === undefined) return undefined;
  return `its archiver reports ${archiver.lastArchivedWal} as archived: archive_command may deliver elsewhere`;
}

function noAnswer(answerMs: number, cause: unknown): KeyframeError {
  return new KeyframeError('SERVER_UNREACHABLE', `the server gave no answer within ${answerMs / 1000} s`, { cause });
}

/** A fault becomes its text: the wait for WAL goes on without the nudge and names the reason when it runs out. */
function reason(error: unknown): string {
  if (isKeyframeError(error)) return error.message;
  throw error;
}
