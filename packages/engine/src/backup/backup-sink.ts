/** Joins what the server sends to the backup, and keeps the few facts that describe it. @packageDocumentation */
import { KeyframeError, type Lsn, type TimelineId } from '@keyframe/contracts';
import { type BackupEntry, type BaseBackupSink, fullBackupLabel } from '@keyframe/postgres';
import type { FileSink } from '@keyframe/repository';
import type { OnEvent } from '../events.ts';
import type { Copy } from './copy.ts';
import type { FileList } from './file-list.ts';
import { IncrementalPages } from './incremental-file.ts';
import { PAGE_BYTES, PageGatherer } from './page-lane.ts';
import { createCopyProgress } from './copy-progress.ts';

export interface ReceivedBackup {
  readonly startLsn: Lsn;
  readonly timeline: TimelineId;
  readonly tablespaces: readonly { readonly oid: number; readonly location: string }[];
  /** `backup_label`, byte for byte, less what only an incremental one says. */
  readonly backupLabel: string;
  /** The server's clock less ours, milliseconds, by the time it gave `backup_label`, which it makes as it sends it. */
  readonly clockSkewMs: number;
  /** Regular files. */
  readonly files: number;
}

interface Reception {
  readonly sink: BaseBackupSink;
  /** @throws {KeyframeError} CORRUPT when the server sent no backup_label: without it a restore corrupts silently. */
  facts(): ReceivedBackup;
}

/** Where a base backup goes. */
export interface ReceptionOptions {
  readonly now: () => number;
  readonly onEvent: OnEvent | undefined;
  /** Takes down every file with its whole size. */
  readonly list: FileList;
}

/** The file that is being received. */
type Receiving = Pick<FileSink, 'write' | 'end'>;

export function createBackupSink(copy: Copy, { now, onEvent, list }: ReceptionOptions): Reception {
  const { writer } = copy;
  const progress = createCopyProgress(onEvent);
  const receiving = createReceiver(copy, list);
  let started: Pick<ReceivedBackup, 'startLsn' | 'timeline' | 'tablespaces'> | undefined;
  let file: Receiving | undefined;
  let labelText: string | undefined;
  let clockSkewMs = 0;
  let files = 0;
  const open = async (entry: BackupEntry): Promise<void> => {
    file = await receiving(entry);
  };
  const keepLabel = (entry: BackupEntry): void => {
    const pieces: Buffer[] = [];
    // The archive has whole seconds: rounded up.
    clockSkewMs = (entry.modifiedAtSeconds + 1) * 1000 - now();
    file = {
      write: (view) => void pieces.push(Buffer.from(view)),
      end: async () => {
        // The label of an incremental base backup says that files are missing, and a server refuses to start with it.
        const content = fullBackupLabel(Buffer.concat(pieces));
        labelText = content.toString();
        const written = await receiving({ ...entry, sizeBytes: content.length });
        await written.write(content);
        await written.end();
      },
    };
  };
  const sink: BaseBackupSink = {
    async start({ startLsn, timeline, tablespaces, totalEstimateBytes }) {
      progress.begin(Number(totalEstimateBytes));
      started = { startLsn, timeline, tablespaces: tablespaces.map(({ oid, location }) => ({ oid, location })) };
      await copy.begin({ startLsn, timeline }, 1);
      onEvent?.({ kind: 'phase', phase: 'copy', message: 'copying data files' });
    },
    entry(entry: BackupEntry) {
      if (entry.type === 'directory') return writer.directory(entry);
      if (entry.type === 'symlink') return writer.symlink({ ...entry, linkTarget: entry.linkTarget ?? '' });
      files += 1;
      return entry.path === 'backup_label' ? keepLabel(entry) : open(entry);
    },
    bytes(view) {
      progress.add(view.length);
      return file?.write(view);
    },
    end: () => file?.end(),
  };
  return {
    sink,
    facts() {
      progress.tell();
      if (started !== undefined && labelText !== undefined)
        return { ...started, backupLabel: labelText, clockSkewMs, files };
      throw new KeyframeError('CORRUPT', 'the server sent a base backup without backup_label', {
        hint: 'Run `keyframe backup` again; if it repeats, check what stands between Keyframe and PostgreSQL (a pooler?).',
      });
    },
  };
}

/** Opens one file after the other, each for what comes of it: all of its pages, some of them, or bytes that are no pages. */
function createReceiver(copy: Copy, list: FileList): (entry: BackupEntry) => Promise<Receiving> {
  let gatherer: PageGatherer | undefined;
  return async (entry) => {
    const { incremental } = entry;
    const sizeBytes = incremental === undefined ? entry.sizeBytes : incremental.lengthBlocks * PAGE_BYTES;
    list.add({ ...entry, sizeBytes });
    const opened = await copy.open(entry, sizeBytes);
    const { sink, pages } = opened;
    const { lane, chunk } = copy.lane(0);
    if (incremental !== undefined) return new IncrementalPages(opened, incremental, lane, chunk);
    if (pages === undefined) return sink;
    const gathering = (gatherer ??= new PageGatherer(lane, chunk));
    gathering.begin(pages);
    return {
      write: (view) => gathering.push(view),
      end: () => gathering.end()?.then(() => sink.end()) ?? sink.end(),
    };
  };
}
