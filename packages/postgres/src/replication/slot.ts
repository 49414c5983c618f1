/** Physical replication slots, by the replication protocol. @packageDocumentation */
import type { Abortable, Lsn, TimelineId } from '@keyframe/contracts';
import type { Row } from '../wire/backend.ts';
import type { Session } from '../wire/session.ts';
import { command } from './command.ts';
import { readLsn, readString, readTimeline } from './fields.ts';
import { slotName } from './wal-stream.ts';

/** What READ_REPLICATION_SLOT tells. */
export interface PhysicalSlot {
  /** WAL before it may be gone; undefined when nothing was reserved yet. */
  readonly restartLsn: Lsn | undefined;
  readonly restartTimeline: TimelineId | undefined;
}

/** Creates a physical slot that keeps WAL from now on. */
export async function createPhysicalSlot(session: Session, name: string, options: Abortable = {}): Promise<void> {
  // Understood by every major: from 15 on it is the older of two forms.
  await command(
    session,
    `CREATE_REPLICATION_SLOT ${slotName(name)} PHYSICAL RESERVE_WAL`,
    { row: () => undefined },
    options.signal,
  );
}

/** Removes a slot that nobody uses. */
export async function dropPhysicalSlot(session: Session, name: string, options: Abortable = {}): Promise<void> {
  await command(session, `DROP_REPLICATION_SLOT ${slotName(name)}`, {}, options.signal);
}

/** PostgreSQL 15 and newer. `undefined` when there is none. */
export async function readPhysicalSlot(
  session: Session,
  name: string,
  options: Abortable = {},
): Promise<PhysicalSlot | undefined> {
  const rows: Row[] = [];
  await command(
    session,
    `READ_REPLICATION_SLOT ${slotName(name)}`,
    { row: (row) => void rows.push(row) },
    options.signal,
  );
  const [type, restartLsn, restartTimeline] = rows[0] ?? [];
  if (type === undefined || readString(type) === '') return undefined;
  return {
    restartLsn: restartLsn === undefined ? undefined : readLsn(restartLsn),
    restartTimeline: restartTimeline === undefined ? undefined : readTimeline(restartTimeline),
  };
}
