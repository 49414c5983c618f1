/**
 * What `pg_waldump` says about transactions: the oracle's view of the WAL, made by PostgreSQL itself.
 * @see src/backend/access/rmgrdesc/xactdesc.c in PostgreSQL
 * @packageDocumentation
 */
import { type Lsn, parseLsn, type TimelineId } from '@keyframe/contracts';

interface RecordPlace {
  /** Start of the record. */
  readonly lsn: Lsn;
  /** Start of the record before it. */
  readonly previous: Lsn;
}

/** The end of a transaction. For a two-phase transaction `xid` is the prepared one. */
export interface TransactionEnd extends RecordPlace {
  readonly kind: 'commit' | 'abort';
  readonly xid: number;
  readonly subxids: readonly number[];
  /** Microseconds since 1970, as the record carries it. Not always ascending. */
  readonly timeMicros: bigint;
}

/** A named restore point. */
export interface RestorePoint extends RecordPlace {
  readonly kind: 'restore-point';
  readonly name: string;
}

/** The end of a base backup that began at `backupStart`: from here on a restore of it is consistent. */
export interface BackupEnd extends RecordPlace {
  readonly kind: 'backup-end';
  readonly backupStart: Lsn;
}

/** Any other record, kept since it proves that the WAL goes on. */
export interface OtherRecord extends RecordPlace {
  readonly kind: 'other';
}

/** A record as far as recovery targets look at it. */
export type WalRecord = TransactionEnd | RestorePoint | BackupEnd | OtherRecord;

const LINE = /^rmgr: (Transaction|XLOG) .*?tx:\s*(\d+), lsn: (\S+), prev (\S+), desc: (\S+)\s?(.*)$/;
const END = /^(?:(\d+): )?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d{6}) UTC(?:;.*?subxacts:((?: \d+)+))?/;
const KINDS: Readonly<Record<string, 'commit' | 'abort'>> = {
  COMMIT: 'commit',
  COMMIT_PREPARED: 'commit',
  ABORT: 'abort',
  ABORT_PREPARED: 'abort',
};

/**
 * Reads one line of `pg_waldump`, run with `TZ=UTC`; `undefined` for lines of other resource managers and for talk.
 * @throws {Error} for the end of a transaction that is written in a way we do not know: an oracle must not guess
 */
export function parseWaldumpLine(line: string): WalRecord | undefined {
  const match = LINE.exec(line);
  if (match === null) return undefined;
  const [, manager, tx = '', lsn = '', previous = '', action = '', rest = ''] = match;
  const place = { lsn: parseLsn(lsn), previous: parseLsn(previous) };
  const kind = manager === 'Transaction' ? KINDS[action] : undefined;
  if (kind !== undefined) return { kind, ...place, ...transactionEnd(line, Number(tx), rest) };
  if (manager !== 'XLOG') return { kind: 'other', ...place };
  if (action === 'RESTORE_POINT') return { kind: 'restore-point', ...place, name: rest };
  if (action === 'BACKUP_END') return { kind: 'backup-end', ...place, backupStart: parseLsn(rest.trim()) };
  return { kind: 'other', ...place };
}

function transactionEnd(
  line: string,
  tx: number,
  rest: string,
): Pick<TransactionEnd, 'xid' | 'subxids' | 'timeMicros'> {
  const end = END.exec(rest);
  if (end === null) throw new Error(`cannot read the end of a transaction: ${line}`);
  const [, prepared, seconds = '', micros = '', subxids = ''] = end;
  return {
    xid: prepared === undefined ? tx : Number(prepared),
    subxids: subxids.split(' ').filter(Boolean).map(Number),
    timeMicros: BigInt(Date.parse(`${seconds.replace(' ', 'T')}Z`)) * 1000n + BigInt(micros),
  };
}

/** A branch of history: the timelines on the way to `timeline`, each with the LSN at which it was left. */
export interface TimelinePath {
  readonly timeline: TimelineId;
  readonly ancestors: readonly { readonly timeline: TimelineId; readonly end: Lsn }[];
}

/** Reads a timeline history file, `00000002.history`. */
export function parseHistoryFile(timeline: TimelineId, text: string): TimelinePath {
  const lines = text.split('\n').map((line) => /^\s*(\d+)\s+([0-9A-F]+\/[0-9A-F]+)/.exec(line));
  const ancestors = lines.flatMap((line) =>
    line?.[1] === undefined || line[2] === undefined ? [] : [{ timeline: Number(line[1]), end: parseLsn(line[2]) }],
  );
  return { timeline, ancestors };
}

/**
 * Orders what was read from the segments of several timelines into the one history that ends on `path.timeline`. The
 * first segment of a timeline repeats the end of the one before, so a record may be there twice.
 */
export function recordsOfPath(
  path: TimelinePath,
  byTimeline: ReadonlyMap<TimelineId, readonly WalRecord[]>,
): readonly (WalRecord & { readonly timeline: TimelineId })[] {
  const steps = [...path.ancestors, { timeline: path.timeline, end: undefined }];
  return steps.flatMap(({ timeline, end }, index) => {
    const begin = steps[index - 1]?.end ?? 0n;
    const later = steps.slice(index).flatMap((step) => byTimeline.get(step.timeline) ?? []);
    const mine = later.filter(({ lsn }) => lsn >= begin && (end === undefined || lsn < end));
    const unique = new Map(mine.map((record) => [record.lsn, { ...record, timeline }]));
    return [...unique.values()].toSorted((a, b) => (a.lsn < b.lsn ? -1 : 1));
  });
}
