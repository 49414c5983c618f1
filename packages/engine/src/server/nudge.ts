/** SQL side of a backup: switch WAL on an idle primary, and say how its archiver fares. @packageDocumentation */
import { isKeyframeError } from '@keyframe/contracts';
import {
  connectSql,
  type ConnectionTarget,
  emitMessage,
  inspectServer,
  type SqlSession,
  switchWal,
} from '@keyframe/postgres';
import type { WalNudge } from '../backup/await-wal.ts';

/** Asks one question in a session of its own: a backup may run for hours, an idle session may not. */
async function asked<T>(target: ConnectionTarget, question: (sql: SqlSession) => Promise<T>): Promise<T> {
  const sql = await connectSql(target);
  try {
    return await question(sql);
  } finally {
    await sql.close();
  }
}

/** A fault becomes its text: the wait for WAL goes on without the nudge and names the reason when it runs out. */
function reason(error: unknown): string {
  if (isKeyframeError(error)) return error.message;
  throw error;
}

export function createNudge(target: ConnectionTarget, now: () => number): WalNudge {
  return {
    switchWal: () =>
      asked(target, async (sql) => {
        await emitMessage(sql, 'backup');
        await switchWal(sql);
        return undefined;
      }).catch(reason),
    archiverState: () =>
      asked(target, async (sql) => {
        const { archiver } = await inspectServer(sql, { now });
        if (archiver?.failing !== true) return undefined;
        return `its archiver failed last on ${archiver.lastFailedWal} at ${archiver.lastFailedTime}`;
      }).catch(reason),
  };
}
