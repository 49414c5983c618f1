/** How far a recovery is, from every source that is open to us. @packageDocumentation */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { hasCode, type Lsn, parseWalFileName, segmentStart } from '@keyframe/contracts';
import { type ControlData, readControlFile } from '../control/control-file.ts';
import type { RecoveryProbe } from '../sql/operations.ts';
import { readNews } from './log.ts';

/** What a watcher of a starting server sees. Figures only grow. */
export interface StartProgress {
  /** `accepting`: answers queries, possibly still recovering. */
  readonly phase: 'starting' | 'recovering' | 'accepting' | 'in-production' | 'paused';
  /** WAL segments taken from the archive so far. */
  readonly segmentsRestored: number;
  /** The WAL file last taken from the archive. */
  readonly currentFile: string | undefined;
  /** Replayed at least to here. */
  readonly replayLsn: Lsn | undefined;
  /** Where the backup became consistent. */
  readonly consistentLsn: Lsn | undefined;
  /** PostgreSQL's words for the record at which it stopped. */
  readonly stoppedAt: string | undefined;
}

/** Gathers facts; every `note…` is cheap. */
export interface ProgressGauge {
  noteLine(line: string): void;
  noteTitle(file: string | undefined): void;
  noteControl(control: Pick<ControlData, 'state' | 'minRecoveryPoint' | 'walSegmentSizeBytes'> | undefined): void;
  noteProbe(probe: RecoveryProbe | undefined): void;
  noteAccepting(): void;
  readonly progress: StartProgress;
}

const NOTHING_YET: StartProgress = {
  phase: 'starting',
  segmentsRestored: 0,
  currentFile: undefined,
  replayLsn: undefined,
  consistentLsn: undefined,
  stoppedAt: undefined,
};

/** A gauge at the start of a server. */
export function createGauge(): ProgressGauge {
  let progress = NOTHING_YET;
  let logSpeaks = false;
  let segmentSizeBytes: number | undefined;
  const set = (change: Partial<StartProgress>): void => {
    progress = { ...progress, ...change };
  };
  const reached = (lsn: Lsn | undefined): void => {
    if (lsn !== undefined && lsn > (progress.replayLsn ?? 0n)) set({ replayLsn: lsn });
  };
  const restored = (file: string): void => {
    const name = parseWalFileName(file);
    const segment = name?.kind === 'segment' && file !== progress.currentFile;
    set({ currentFile: file, segmentsRestored: progress.segmentsRestored + (segment ? 1 : 0) });
    // A segment is fetched when the one before it has been read.
    if (segment && segmentSizeBytes !== undefined) reached(segmentStart(name, segmentSizeBytes));
    if (progress.phase === 'starting') set({ phase: 'recovering' });
  };
  return {
    noteLine(line) {
      const news = readNews(line);
      if (news === undefined) return;
      if (news.kind === 'restored') {
        logSpeaks = true;
        restored(news.file);
      } else if (news.kind === 'position') reached(news.lsn);
      else if (news.kind === 'consistent') {
        reached(news.lsn);
        set({ consistentLsn: news.lsn });
      } else if (news.kind === 'stopped') set({ stoppedAt: news.text });
      else if (news.kind === 'paused') set({ phase: 'paused' });
    },
    // The title lags behind the log and would count twice; it serves where the log is translated or elsewhere.
    noteTitle(file) {
      if (file !== undefined && !logSpeaks && file !== progress.currentFile) restored(file);
    },
    noteControl(control) {
      if (control === undefined) return;
      segmentSizeBytes = control.walSegmentSizeBytes;
      if (control.state === 'in archive recovery') {
        if (progress.phase === 'starting') set({ phase: 'recovering' });
        reached(control.minRecoveryPoint);
      } else if (control.state === 'in production' && progress.phase === 'accepting') set({ phase: 'in-production' });
    },
    noteProbe(probe) {
      reached(probe?.replayLsn);
      if (probe?.paused === true && progress.phase !== 'in-production') set({ phase: 'paused' });
    },
    noteAccepting() {
      if (progress.phase === 'starting' || progress.phase === 'recovering') set({ phase: 'accepting' });
    },
    get progress() {
      return progress;
    },
  };
}

/** The control file of a directory; `undefined` while it is being written or not there. */
export async function tryReadControl(dataDirectory: string): Promise<ControlData | undefined> {
  try {
    return readControlFile(await readFile(path.join(dataDirectory, 'global', 'pg_control')));
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (missing || hasCode(error, 'CORRUPT')) return undefined;
    throw error;
  }
}

/** The WAL file that the startup process shows in its title; `undefined` where titles or /proc are not to be had. */
export async function titleFile(postmaster: number): Promise<string | undefined> {
  const children = await readProc(`/proc/${postmaster}/task/${postmaster}/children`);
  for (const pid of children.trim().split(' ')) {
    if (pid === '') continue;
    const title = await readProc(`/proc/${pid}/cmdline`);
    const file = /startup\s+(?:recovering|waiting for) ([0-9A-F]{24})/.exec(title)?.[1];
    if (file !== undefined) return file;
  }
  return undefined;
}

/** Processes come and go, and there may be no /proc: then there is nothing to read. */
async function readProc(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(error.code ?? '')) return '';
    throw error;
  });
}
