import { setTimeout as sleep } from 'node:timers/promises';
import type { SqlSession } from '@keyframe/postgres';

export interface Workload {
  stop(): Promise<void>;
}

const SESSIONS = 2;
const PAUSE_MS = 3;

/** Customers who keep ordering, one small transaction after the other, until told to stop. */
export async function startWorkload(open: () => Promise<SqlSession>): Promise<Workload> {
  const stopped = new AbortController();
  const order = async (session: SqlSession): Promise<void> => {
    while (!stopped.signal.aborted) {
      await session.query(
        'insert into orders (customer) select 1 + (random() * 49999)::int from generate_series(1, 5)',
      );
      await sleep(PAUSE_MS);
    }
  };
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, open));
  const work = sessions.map(order);
  return {
    async stop() {
      stopped.abort();
      await Promise.all(work);
    },
  };
}
