import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { formatLsn, type Lsn, parseLsn, parseWalFileName, segmentStart } from '@keyframe/contracts';
import type { Cluster } from '@keyframe/testkit/postgres';
import {
  type BlockRestoredFact,
  createWalScanner,
  type PageVisibleFact,
  type WalEnd,
  type WalFact,
} from '../src/index.ts';
import { describedFile, isFileFact, lineOfFile } from './waldump-files.ts';

/** Resource managers as pg_waldump names them, by id. */
const RESOURCE_MANAGERS = (
  'XLOG Transaction Storage CLOG Database Tablespace MultiXact RelMap Standby Heap2 Heap Btree Hash Gin Gist Sequence ' +
  'SPGist BRIN CommitTs ReplicationOrigin Generic LogicalMessage'
).split(' ');

/** Everything two readers of the same WAL can be compared by, as text. */
export interface Reading {
  /** `lsn resourceManager totalBytes xid` of every record. */
  readonly records: string[];
  /** One line for each fact. */
  readonly facts: string[];
}

const LINE = /^rmgr: (\S+)\s+len \(rec\/tot\):\s*\d+\/\s*(\d+), tx:\s*(\d+), lsn: (\S+), prev \S+, desc: (.*)$/;

/** What pg_waldump prints of `[start, end)`; without an end, as far as it can read, and where it no longer could. */
export async function readByWaldump(
  cluster: Cluster,
  range: { directory: string; start: Lsn; end: Lsn | undefined; timeline?: number },
): Promise<Reading & { readonly endedAt: Lsn | undefined; readonly text: string }> {
  const args = ['-p', range.directory, '-t', String(range.timeline ?? 1)];
  const bounds = ['-s', formatLsn(range.start), ...(range.end === undefined ? [] : ['-e', formatLsn(range.end)])];
  const { stdout, stderr } = await cluster.tryExec('pg_waldump', [...args, ...bounds], { environment: { TZ: 'UTC' } });
  const reading: Reading = { records: [], facts: [] };
  for (const line of stdout.split('\n')) {
    const [, name = '', total, xid = '', lsn = '', description = ''] = LINE.exec(line) ?? [];
    if (total === undefined) continue;
    const at = formatLsn(parseLsn(lsn));
    reading.records.push(`${at} ${RESOURCE_MANAGERS.indexOf(name)} ${total} ${xid}`);
    const fact = describedFact(name, description, xid);
    if (fact !== undefined) reading.facts.push(`${at} ${fact}`);
  }
  const fault = / (?:at|LSN) ([0-9A-F]+\/[0-9A-F]+)(?!.*[0-9A-F]\/[0-9A-F])/s.exec(stderr)?.[1];
  return { ...reading, endedAt: fault === undefined ? undefined : parseLsn(fault), text: stdout };
}

function describedFact(name: string, description: string, recordXid: string): string | undefined {
  if (name === 'Transaction') return describedTransaction(description, recordXid);
  if (name !== 'XLOG') return describedFile(name, description);
  const [operation = '', ...rest] = description.split(' ');
  const text = rest.join(' ');
  if (operation === 'SWITCH') return 'switch';
  if (operation === 'RESTORE_POINT') return `restore-point ${text}`;
  if (operation === 'BACKUP_END') return `backup-end ${formatLsn(parseLsn(text))}`;
  if (operation === 'PARAMETER_CHANGE') return `parameter-change ${text}`;
  if (operation === 'END_OF_RECOVERY') {
    const [, timeline, previous] = /tli (\d+); prev tli (\d+)/.exec(text) ?? [];
    return `end-of-recovery ${timeline} ${previous}`;
  }
  if (!operation.startsWith('CHECKPOINT_') || operation === 'CHECKPOINT_REDO') return undefined;
  const [, redo = '', timeline, previous] = /redo (\S+); tli (\d+); prev tli (\d+)/.exec(text) ?? [];
  const shutdown = operation === 'CHECKPOINT_SHUTDOWN';
  return `checkpoint ${shutdown} ${formatLsn(parseLsn(redo))} ${timeline} ${previous}`;
}

const TRANSACTION = /^(COMMIT|ABORT)(_PREPARED (\d+):)? (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)? UTC(.*)$/;

function describedTransaction(description: string, recordXid: string): string | undefined {
  const match = TRANSACTION.exec(description);
  if (match === null) return undefined;
  const [, operation = '', prepared, xid = recordXid, day, clock, fraction = '', rest = ''] = match;
  const seconds = BigInt(Date.parse(`${day}T${clock}Z`)) * 1000n;
  const micros = seconds + BigInt(fraction.slice(1).padEnd(6, '0'));
  const children = /; subxacts: ([\d ]+)/.exec(rest)?.[1]?.trim().split(' ').length ?? 0;
  return `${operation.toLowerCase()} ${xid} ${micros} ${prepared !== undefined} ${children}`;
}

/** One line for a fact, as {@link readByWaldump} writes them. */
function lineOf(fact: Exclude<WalFact, BlockRestoredFact | PageVisibleFact>): string | undefined {
  const at = formatLsn(fact.lsn);
  if (isFileFact(fact)) return `${at} ${lineOfFile(fact)}`;
  switch (fact.kind) {
    case 'commit':
    case 'abort':
      return `${at} ${fact.kind} ${fact.xid} ${fact.timeMicros} ${fact.prepared} ${fact.subtransactions}`;
    case 'restore-point':
      return `${at} restore-point ${fact.name}`;
    case 'backup-end':
      return `${at} backup-end ${formatLsn(fact.startLsn)}`;
    case 'end-of-recovery':
      return `${at} end-of-recovery ${fact.timeline} ${fact.previousTimeline}`;
    case 'checkpoint':
      return `${at} checkpoint ${fact.shutdown} ${formatLsn(fact.redo)} ${fact.timeline} ${fact.previousTimeline}`;
    case 'switch':
      return `${at} switch`;
    case 'parameter-change': {
      const settings = {
        max_connections: fact.maxConnections,
        max_worker_processes: fact.maxWorkerProcesses,
        max_wal_senders: fact.maxWalSenders,
        max_prepared_xacts: fact.maxPreparedTransactions,
        max_locks_per_xact: fact.maxLocksPerTransaction,
        wal_level: fact.walLevel,
        wal_log_hints: fact.walLogHints ? 'on' : 'off',
        track_commit_timestamp: fact.trackCommitTimestamp ? 'on' : 'off',
      };
      const text = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
      return `${at} parameter-change ${text.join(' ')}`;
    }
    case 'overwrite':
    case 'record':
    case 'subtransaction':
    default:
      return undefined;
  }
}

/** A segment of one timeline's file. */
export interface Segment {
  readonly name: string;
  readonly start: Lsn;
  readonly bytes: Buffer;
}

/** The WAL segments of a directory, each LSN once: the file of the highest timeline wins, as in recovery. */
export async function segmentsOf(directory: string, segmentSizeBytes: number): Promise<Segment[]> {
  const byStart = new Map<Lsn, string>();
  for (const name of (await readdir(directory)).toSorted()) {
    const file = parseWalFileName(name);
    if (file?.kind === 'segment') byStart.set(segmentStart(file, segmentSizeBytes), name);
  }
  const sorted = [...byStart].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Promise.all(
    sorted.map(async ([start, name]) => ({ name, start, bytes: await readFile(path.join(directory, name)) })),
  );
}

/** What the scanner reads of the segments, from `start` on and as far as `end`. */
export function readByScanner(
  segments: readonly Segment[],
  range: { segmentSizeBytes: number; start?: Lsn; end: Lsn },
): Reading & { readonly ended: WalEnd | undefined; readonly position: Lsn } {
  const records: string[] = [];
  const facts: string[] = [];
  const scanner = createWalScanner({
    segmentSizeBytes: range.segmentSizeBytes,
    watch: { files: true },
    onRecord: ({ lsn, resourceManager, xid, totalBytes }) => {
      if (lsn < range.end) records.push(`${formatLsn(lsn)} ${resourceManager} ${totalBytes} ${xid}`);
    },
  });
  const size = BigInt(range.segmentSizeBytes);
  const first = range.start ?? segments[0]?.start ?? 0n;
  for (const { start, bytes } of segments) {
    if (start + size <= first) continue;
    const from = start <= first && range.start !== undefined ? { from: range.start } : {};
    for (const fact of scanner.scan(bytes, start, from)) {
      const isWatched = fact.kind === 'block-restored' || fact.kind === 'page-visible';
      const line = isWatched ? undefined : lineOf(fact);
      if (line !== undefined && fact.lsn < range.end) facts.push(line);
    }
  }
  return { records, facts, ended: scanner.ended, position: scanner.position };
}
