import { hasCode, isKeyframeError, type Lsn, parseWalFileName, segmentStart } from '@keyframe/contracts';
import { type ConnectionTarget, connectSql, readSlotState, type ReplicationConnection } from '@keyframe/postgres';
import type { OnReceive } from './receive-event.ts';

/** A slot that is there now. */
export interface OpenSlot {
  /** The server keeps WAL from here on; undefined where that cannot be seen. */
  readonly reserved: Lsn | undefined;
  /** It keeps nothing of what was written before. */
  readonly isNew: boolean;
}

interface SlotPlace {
  readonly connection: ReplicationConnection;
  readonly target: ConnectionTarget;
  readonly slot: string;
  readonly tell: OnReceive;
  readonly signal: AbortSignal;
}

/** Makes the slot where there is none, and anew where the server gave it up: such a one keeps nothing any more. */
export async function openSlot(place: SlotPlace): Promise<OpenSlot> {
  const { connection, slot, tell, signal } = place;
  let isNew = await created(place);
  let reserved = await reservedBy(place);
  if (!isNew && reserved.isLost) {
    tell({ kind: 'slot-lost', slot, message: `the server gave up what the slot ${slot} kept` });
    await connection.dropSlot(slot, { signal });
    isNew = await created(place);
    reserved = await reservedBy(place);
  }
  if (isNew) tell({ kind: 'slot-created', slot, lsn: reserved.lsn });
  return { reserved: reserved.lsn, isNew };
}

async function created({ connection, slot, signal }: SlotPlace): Promise<boolean> {
  try {
    await connection.createSlot(slot, { signal });
    return true;
  } catch (error) {
    if (!hasCode(error, 'SERVER_ERROR') || error.details['sqlstate'] !== '42710') throw error;
    return false;
  }
}

async function reservedBy(place: SlotPlace): Promise<{ readonly lsn: Lsn | undefined; readonly isLost: boolean }> {
  const { connection, slot, signal } = place;
  if (connection.versionNumber >= 150_000) {
    const lsn = (await connection.readSlot(slot, { signal }))?.restartLsn;
    return { lsn, isLost: lsn === undefined };
  }
  const state = await bySql(place, async (sql) => readSlotState(sql, slot));
  return { lsn: state?.restartLsn, isLost: state?.walStatus === 'lost' };
}

/** First LSN that the server still has in pg_wal; undefined where the role may not look there. */
export async function oldestKept(place: SlotPlace, segmentSizeBytes: number): Promise<Lsn | undefined> {
  const name = await bySql(place, async (sql) => {
    const [row] = await sql.query<{ name: string }>(
      `select name from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$' order by substr(name, 9) limit 1`,
    );
    return row?.name;
  });
  const file = name === undefined ? undefined : parseWalFileName(name);
  return file?.kind === 'segment' ? segmentStart(file, segmentSizeBytes) : undefined;
}

/** Some servers let the role replicate and nothing else. */
async function bySql<T>(
  { target, signal }: SlotPlace,
  ask: (sql: Awaited<ReturnType<typeof connectSql>>) => Promise<T>,
): Promise<T | undefined> {
  try {
    const sql = await connectSql(target, { signal });
    try {
      return await ask(sql);
    } finally {
      await sql.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    if (!isKeyframeError(error)) throw error;
    return undefined;
  }
}
