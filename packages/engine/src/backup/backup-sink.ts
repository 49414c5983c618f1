/** Joins what the server sends to the backup writer, and keeps the few facts that describe the backup. @packageDocumentation */
import { KeyframeError, type Lsn, type TimelineId } from '@keyframe/contracts';
import type { BackupEntry, BaseBackupSink } from '@keyframe/postgres';
import type { BackupWriter, FileSink } from '@keyframe/repository';
import type { OnEvent } from '../events.ts';

export interface ReceivedBackup {
  readonly startLsn: Lsn;
  readonly timeline: TimelineId;
  readonly tablespaces: readonly { readonly oid: number; readonly location: string }[];
  /** `backup_label`, byte for byte. */
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

/** Progress is told at most this often, milliseconds. */
const PROGRESS_EVERY_MS = 200;

export function createBackupSink(writer: BackupWriter, now: () => number, onEvent: OnEvent | undefined): Reception {
  let started: Pick<ReceivedBackup, 'startLsn' | 'timeline' | 'tablespaces'> | undefined;
  let file: FileSink | undefined;
  let label: Buffer[] | undefined;
  let labelText: string | undefined;
  let clockSkewMs = 0;
  let files = 0;
  let totalBytes = 0;
  let doneBytes = 0;
  let lastTold = 0;
  // Counted here: the server tells its own count once a second. Its estimate is made before the copy; a growing cluster passes it.
  const tell = (at: number): void => {
    lastTold = at;
    onEvent?.({ kind: 'bytes', phase: 'copy', doneBytes, totalBytes: Math.max(totalBytes, doneBytes) });
  };
  const sink: BaseBackupSink = {
    start({ startLsn, timeline, tablespaces, totalEstimateBytes }) {
      totalBytes = Number(totalEstimateBytes);
      started = { startLsn, timeline, tablespaces: tablespaces.map(({ oid, location }) => ({ oid, location })) };
      onEvent?.({ kind: 'phase', phase: 'copy', message: 'copying data files' });
    },
    entry(entry: BackupEntry) {
      if (entry.type === 'directory') return writer.directory(entry);
      if (entry.type === 'symlink') return writer.symlink({ ...entry, linkTarget: entry.linkTarget ?? '' });
      label = entry.path === 'backup_label' ? [] : undefined;
      // The archive has whole seconds: rounded up.
      if (label !== undefined) clockSkewMs = (entry.modifiedAtSeconds + 1) * 1000 - now();
      files += 1;
      file = writer.file(entry);
      return undefined;
    },
    bytes(view) {
      doneBytes += view.length;
      const at = performance.now();
      if (at - lastTold >= PROGRESS_EVERY_MS) tell(at);
      label?.push(Buffer.from(view));
      return file?.write(view);
    },
    end() {
      if (label !== undefined) labelText = Buffer.concat(label).toString();
      label = undefined;
      return file?.end();
    },
  };
  return {
    sink,
    facts() {
      tell(performance.now());
      if (started !== undefined && labelText !== undefined)
        return { ...started, backupLabel: labelText, clockSkewMs, files };
      throw new KeyframeError('CORRUPT', 'the server sent a base backup without backup_label', {
        hint: 'Run `keyframe backup` again; if it repeats, check what stands between Keyframe and PostgreSQL (a pooler?).',
      });
    },
  };
}
