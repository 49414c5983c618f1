import { createInterface } from 'node:readline';
import { mkdtemp, readdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  type Lsn,
  lsn,
  parseWalFileName,
  segmentName,
  segmentNumberOf,
  type TimelineId,
  type WalFileName,
} from '@keyframe/contracts';
import { ensurePostgres, type Major } from './binaries.ts';
import { parseHistoryFile, parseWaldumpLine, type TimelinePath, type WalRecord } from './ledger-waldump.ts';
import { spawnUnprivileged } from './runner.ts';

/** All that `pg_waldump` finds in a set of plain WAL segments. */
export interface WalRecords {
  readonly byTimeline: ReadonlyMap<TimelineId, readonly WalRecord[]>;
  readonly paths: ReadonlyMap<TimelineId, TimelinePath>;
}

type Segment = Extract<WalFileName, { kind: 'segment' }>;

interface Run {
  readonly timeline: TimelineId;
  readonly first: bigint;
  readonly last: bigint;
}

/**
 * Reads every whole segment of those directories, as PostgreSQL archived them under their own names. Of a `pg_wal` only
 * those are taken that PostgreSQL has handed to the archiver.
 * @throws {Error} when `pg_waldump` stops before the end of an unbroken run of segments
 */
export async function readWal(major: Major, directories: readonly string[]): Promise<WalRecords> {
  const work = await mkdtemp(path.join(tmpdir(), 'kf-waldump-'));
  try {
    const files = await gather(directories);
    for (const [name, from] of files) await symlink(from, path.join(work, name));
    const segments = [...files.keys()].map(parseWalFileName).filter((file) => file?.kind === 'segment');
    const [sample] = segments;
    if (sample === undefined) throw new Error(`no WAL segment in ${directories.join(', ')}`);
    const { size } = await stat(path.join(work, sample.name));
    const byTimeline = new Map<TimelineId, WalRecord[]>();
    for (const run of runsOf(segments, size)) {
      const records = byTimeline.get(run.timeline) ?? [];
      for (const record of await dump({ major, directory: work, size }, run)) records.push(record);
      byTimeline.set(run.timeline, records);
    }
    return { byTimeline, paths: await readPaths(work, [...files.keys()], byTimeline) };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function gather(directories: readonly string[]): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const directory of directories) {
    const status = await readdir(path.join(directory, 'archive_status')).catch(() => undefined);
    for (const name of await readdir(directory)) {
      const complete = status === undefined || status.includes(`${name}.ready`) || status.includes(`${name}.done`);
      if (complete && !files.has(name)) files.set(name, path.join(directory, name));
    }
  }
  return files;
}

/** Unbroken runs of segments, each on one timeline. */
function runsOf(segments: readonly Segment[], size: number): Run[] {
  const runs: Run[] = [];
  const numbered = segments.map((file) => ({ timeline: file.timeline, number: segmentNumberOf(file, size) }));
  for (const { timeline, number } of numbered.toSorted((a, b) =>
    a.timeline === b.timeline ? Number(a.number - b.number) : a.timeline - b.timeline,
  )) {
    const before = runs.at(-1);
    if (before?.timeline === timeline && before.last + 1n === number) runs.splice(-1, 1, { ...before, last: number });
    else runs.push({ timeline, first: number, last: number });
  }
  return runs;
}

interface Source {
  readonly major: Major;
  readonly directory: string;
  readonly size: number;
}

async function dump({ major, directory, size }: Source, { timeline, first, last }: Run): Promise<WalRecord[]> {
  const tool = path.join(await ensurePostgres(major), 'pg_waldump');
  const [from, to] = [segmentName(timeline, first, size), segmentName(timeline, last, size)];
  // Before 15 a second --rmgr replaced the first.
  const filter = major >= 15 ? ['--rmgr=Transaction', '--rmgr=XLOG'] : [];
  const args = [...filter, `--path=${directory}`, from, to];
  const child = await spawnUnprivileged(tool, args, { output: 'pipe', environment: { TZ: 'UTC' } });
  child.stdin?.end();
  let talk = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (talk += text));
  const records: WalRecord[] = [];
  if (child.stdout !== null) {
    for await (const line of createInterface({ input: child.stdout })) {
      const record = parseWaldumpLine(line);
      if (record !== undefined) records.push(record);
    }
  }
  assertWhole(records, lsn((last - 1n) * BigInt(size)), `pg_waldump ${from} ${to}: ${talk}`);
  return records;
}

/** It ends with a fault at the end of what was written, which is no fault; but it must have come as far as that. */
function assertWhole(records: readonly WalRecord[], atLeast: Lsn, message: string): void {
  const last = records.at(-1);
  if (last === undefined || last.lsn < atLeast) throw new Error(`stopped early, at ${last?.lsn}: ${message}`);
}

async function readPaths(
  directory: string,
  names: readonly string[],
  byTimeline: ReadonlyMap<TimelineId, unknown>,
): Promise<Map<TimelineId, TimelinePath>> {
  const paths = new Map<TimelineId, TimelinePath>();
  for (const timeline of byTimeline.keys()) paths.set(timeline, { timeline, ancestors: [] });
  for (const file of names.map(parseWalFileName)) {
    if (file?.kind !== 'history') continue;
    const text = await readFile(path.join(directory, file.name), 'utf8');
    paths.set(file.timeline, parseHistoryFile(file.timeline, text));
  }
  return paths;
}
