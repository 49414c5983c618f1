/** Reads a cluster from the files of this machine, several side by side. @packageDocumentation */
import {
  type BackupStart,
  type LocalBackup,
  type LocalBackupFile,
  type LocalEntry,
  openLocalBackup,
  openLocalFile,
} from '@keyframe/postgres';
import type { StageOptions } from '../events.ts';
import type { Copy, CopyFile } from './copy.ts';
import { type CopyProgress, createCopyProgress } from './copy-progress.ts';
import { FileList } from './file-list.ts';
import { PAGE_BYTES, type PageLane } from './page-lane.ts';
import { createRateLimit, type RateLimit } from './rate-limit.ts';
import type { ReadBackup, ReadCluster } from './reader.ts';
import type { UnreadPages } from './since-interrupted.ts';
import type { SourceFacts } from './source-facts.ts';

/** Where the files lie, and how many are read at once. */
export interface LocalSource {
  readonly dataDirectory: string;
  readonly workers: number;
  /** Says once the backup has begun what of its files need not be read. */
  readonly findUnread: (start: BackupStart) => Promise<UnreadPages | undefined>;
}

/** The last file of all: on a standby it rules from where on the data are consistent. */
const CONTROL_FILE = 'global/pg_control';

/** Under one session from start to stop: the server forgets a backup whose session ends. */
export function readLocal({ dataDirectory, workers, findUnread }: LocalSource): ReadCluster {
  return async ({ target, copy, source, label, checkpoint, maxRateKiB }, options) => {
    await using backup = await openLocalBackup(target, dataDirectory, { label, checkpoint, signal: options.signal });
    const { startLsn, timeline, tablespaces, totalEstimateBytes } = backup.start;
    const unread = beginPages(copy, source, backup) ? await findUnread(backup.start) : undefined;
    options.onEvent?.({ kind: 'phase', phase: 'copy', message: `copying data files with ${workers} workers` });
    await copy.begin(backup.start, workers);
    const { systemIdentifier, postgresVersion } = source;
    const signal = AbortSignal.any([options.signal, backup.lost]);
    const reading: Reading = {
      copy,
      list: new FileList({ systemIdentifier, postgresVersion }),
      progress: createCopyProgress(options.onEvent),
      limit: createRateLimit(maxRateKiB === undefined ? undefined : maxRateKiB * 1024, signal),
      unread,
      signal,
    };
    reading.progress.begin(Number(totalEstimateBytes));
    await readFiles(reading, backup, workers, options);
    const end = await backup.stop(options);
    reading.progress.tell();
    const texts = await writeEnd(reading, end.files);
    const range = { timeline, startLsn, stopLsn: end.stopLsn };
    return {
      ...texts,
      ...range,
      stopTimeline: end.stopTimeline,
      tablespaces: tablespaces.map(({ oid, location }) => ({ oid, location })),
      clockSkewMs: 0,
      serverManifest: reading.list.finish({ systemIdentifier, postgresVersion, ...range }),
    };
  };
}

/**
 * Says in the packs where the backup began, so that the next one can build on them should this one be interrupted. Not of a
 * standby: it may be behind one that its pages were read from, and begins where its last restartpoint was.
 */
function beginPages({ writer }: Copy, source: SourceFacts, { start, standby }: LocalBackup): boolean {
  const isKnown = !standby && source.pageBytes === PAGE_BYTES && start.timeline === source.timeline;
  const { startLsn, timeline } = start;
  const { dataChecksums, segmentSizeBytes: walSegmentSizeBytes } = source;
  if (isKnown) writer.began({ startLsn, timeline, walSegmentSizeBytes, dataChecksums });
  return isKnown;
}

interface Reading {
  readonly copy: Copy;
  readonly list: FileList;
  readonly progress: CopyProgress;
  readonly limit: RateLimit;
  readonly unread: UnreadPages | undefined;
  readonly signal: AbortSignal;
}

/** The first fault ends all of it; nothing is left running. */
async function readFiles(reading: Reading, backup: LocalBackup, workers: number, options: StageOptions): Promise<void> {
  const failed = new AbortController();
  const signal = AbortSignal.any([reading.signal, failed.signal]);
  const running = new Set<Promise<void>>();
  const free = Array.from({ length: workers }, (_, index) => index);
  const onSkipped = (path: string): void =>
    options.onEvent?.({ kind: 'warning', message: `${path} is neither file nor directory and is left out` });
  try {
    for await (const entry of backup.entries({ signal, onSkipped })) {
      if (entry.type === 'directory') await reading.copy.writer.directory(entry);
      else if (entry.type === 'symlink')
        await reading.copy.writer.symlink({ ...entry, linkTarget: entry.linkTarget ?? '' });
      else {
        if (entry.path === CONTROL_FILE) await Promise.all(running);
        while (free.length === 0) await Promise.race(running);
        const index = free.pop() ?? 0;
        const work = readFile({ ...reading, signal }, entry, index).finally(() => {
          free.push(index);
          running.delete(work);
        });
        // Met again by whoever waits; until then it is not unhandled.
        work.catch(() => undefined);
        running.add(work);
      }
    }
    await Promise.all(running);
  } catch (error) {
    failed.abort(error);
    await Promise.allSettled(running);
    throw error;
  }
}

async function readFile(reading: Reading, entry: LocalEntry, index: number): Promise<void> {
  await using file = await openLocalFile(entry, reading);
  if (file === undefined) return;
  reading.list.add(file.entry);
  const opened = await reading.copy.open(file.entry);
  const { lane, chunk } = reading.copy.lane(index);
  const { sizeBytes } = file.entry;
  const unread = [...((await reading.unread?.of(entry.path, opened.sink)) ?? [])];
  for (let offset = 0; offset < sizeBytes;) {
    const [next] = unread;
    if (next?.fileOffset === offset) {
      unread.shift();
      await opened.sink.take(next);
      offset += next.sizeBytes;
      reading.progress.skip(next.sizeBytes);
      continue;
    }
    const room = chunk.subarray(0, Math.min(chunk.length, (next?.fileOffset ?? sizeBytes) - offset));
    await reading.limit.take(room.length);
    const bytes = room.subarray(0, await file.read(room, offset, reading));
    await handOn(opened, lane, bytes, offset);
    offset += bytes.length;
    reading.progress.add(bytes.length);
  }
  await opened.sink.end();
}

/** A last page that is not whole was being extended: it is written as it is. */
async function handOn({ sink, pages }: CopyFile, lane: PageLane, bytes: Buffer, offset: number): Promise<void> {
  const rest = pages === undefined ? bytes.length : bytes.length % PAGE_BYTES;
  const whole = bytes.length - rest;
  if (pages !== undefined && whole > 0) await lane.take(pages, bytes.subarray(0, whole), offset / PAGE_BYTES);
  if (rest > 0) await sink.write(bytes.subarray(whole));
}

/** The label is a file of the backup; of the map only the text is kept, since a restore makes the links itself. */
async function writeEnd(
  { copy, list }: Reading,
  files: readonly LocalBackupFile[],
): Promise<Pick<ReadBackup, 'backupLabel' | 'tablespaceMap'>> {
  const texts = new Map<string, string>();
  for (const { entry, content } of files) {
    texts.set(entry.path, content.toString());
    if (entry.path !== 'backup_label') continue;
    list.add(entry);
    const { sink } = await copy.open(entry);
    await sink.write(content);
    await sink.end();
  }
  return { backupLabel: texts.get('backup_label') ?? '', tablespaceMap: texts.get('tablespace_map') };
}
