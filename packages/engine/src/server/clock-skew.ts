/** How far the server's clock is from ours: times of a backup are compared with times in WAL, which are the server's. @packageDocumentation */
import { isKeyframeError } from '@keyframe/contracts';
import { connectSql, type ConnectionTarget, readServerClock } from '@keyframe/postgres';

/** Within which the server must have answered. */
const ANSWER_MS = 15_000;

/** How the server is asked. */
interface ClockOptions {
  /** Our clock in Unix milliseconds. */
  readonly now: () => number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The server's clock less ours, milliseconds, rounded towards later: a backup said to end too late is passed over for a
 * moment just after it, one said to end too early would be taken for a moment before it.
 * @returns `undefined` when the server does not answer SQL
 */
export async function clockSkew(target: ConnectionTarget, { now, signal }: ClockOptions): Promise<number | undefined> {
  const limit = AbortSignal.timeout(ANSWER_MS);
  try {
    const sql = await connectSql(target, { signal: signal === undefined ? limit : AbortSignal.any([signal, limit]) });
    try {
      const before = now();
      return Math.ceil((await readServerClock(sql)) - before);
    } finally {
      await sql.close();
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (!limit.aborted && !isKeyframeError(error)) throw error;
    return undefined;
  }
}
