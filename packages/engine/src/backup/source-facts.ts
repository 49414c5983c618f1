/** Who the server is, and the epoch of the repository its backups belong to. @packageDocumentation */
import { hasCode, KeyframeError, type TimelineId } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { parseTimelineHistory, type ReplicationConnection, type TimelineHistory } from '@keyframe/postgres';
import type { ClusterHistory, EpochArchive } from '@keyframe/repository';
import type { StageOptions } from '../events.ts';
import { bytesOfSetting } from './setting.ts';

/** What a backup must know of the server before it begins. */
export interface SourceFacts {
  readonly systemIdentifier: string;
  /** E.g. 180006. */
  readonly postgresVersion: number;
  readonly timeline: TimelineId;
  readonly segmentSizeBytes: number;
  readonly dataChecksums: boolean;
  /** Size of a page; PostgreSQL can be built with another one than 8 KiB. */
  readonly pageBytes: number;
  /** Pages in one file of a relation. */
  readonly filePages: number;
  /** The server keeps summaries of its WAL (17 and newer), from which it can send changed blocks alone. */
  readonly summarizesWal: boolean;
}

const FIRST_WITH_SUMMARIES = 170_000;

/** @throws {KeyframeError} SERVER_UNSUPPORTED, SERVER_ERROR, SERVER_UNREACHABLE */
export async function readSource(
  connection: ReplicationConnection,
  options: StageOptions & { readonly isStreamed: () => Promise<boolean> },
): Promise<SourceFacts> {
  const version = connection.versionNumber;
  if (version < 140_000)
    throw new KeyframeError('SERVER_UNSUPPORTED', `PostgreSQL ${Math.floor(version / 10_000)} is not supported`, {
      hint: 'Keyframe backs up PostgreSQL 14 to 18; `keyframe doctor` shows what it found.',
    });
  const { systemIdentifier, timeline } = await connection.identifySystem(options);
  const archiveMode = await connection.show('archive_mode', options);
  if (archiveMode === 'off' && !(await options.isStreamed()))
    throw new KeyframeError(
      'SERVER_UNSUPPORTED',
      'archive_mode is off, so the WAL this backup needs would not be kept',
      {
        hint: 'Run `keyframe setup`: it prints archive_mode and archive_command; then restart PostgreSQL. Or start `keyframe wal receive`.',
      },
    );
  const pageBytes = Number(await connection.show('block_size', options));
  const fileBytes = bytesOfSetting('segment_size', await connection.show('segment_size', options));
  return {
    systemIdentifier,
    timeline,
    postgresVersion: version,
    segmentSizeBytes: bytesOfSetting('wal_segment_size', await connection.show('wal_segment_size', options)),
    dataChecksums: (await connection.show('data_checksums', options)) === 'on',
    pageBytes,
    filePages: fileBytes / pageBytes,
    summarizesWal: version >= FIRST_WITH_SUMMARIES && (await connection.show('summarize_wal', options)) === 'on',
  };
}

/** @throws {KeyframeError} WRONG_CLUSTER unless a new epoch may begin */
export async function epochOf(
  history: ClusterHistory,
  { systemIdentifier, postgresVersion }: SourceFacts,
  options: StageOptions & { readonly newEpoch: boolean },
): Promise<EpochArchive> {
  return history.find(systemIdentifier, options).catch((error: unknown) => {
    const mayBegin = hasCode(error, 'NOT_FOUND') || (options.newEpoch && hasCode(error, 'WRONG_CLUSTER'));
    if (!mayBegin) throw error;
    return history.create({ systemIdentifier, postgresVersion }, { ...options, next: options.newEpoch });
  });
}

/**
 * The server's own history, stored as well: recovery reads the history file of the backup's timeline, and a cluster promoted
 * long ago may never have offered it.
 */
export async function timelineHistory(
  connection: ReplicationConnection,
  archive: EpochArchive,
  { timeline, systemIdentifier }: SourceFacts,
  options: StageOptions,
): Promise<TimelineHistory> {
  if (timeline === 1) return { timeline, ancestors: [] };
  const { name, content } = await connection.timelineHistory(timeline, options);
  await archive.wal.put(
    { name, content: bytesOf(content), facts: { systemIdentifier, timeline, segmentSizeBytes: undefined } },
    options,
  );
  return parseTimelineHistory(name, content.toString());
}
