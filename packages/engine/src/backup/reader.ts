import type { Lsn, TimelineId } from '@keyframe/contracts';
import type { ConnectionTarget } from '@keyframe/postgres';
import type { TablespaceLocation } from '@keyframe/repository';
import type { StageOptions } from '../events.ts';
import type { Copy } from './copy.ts';
import type { SourceFacts } from './source-facts.ts';

/** What every way of reading a cluster needs. */
export interface ReadRequest {
  readonly target: ConnectionTarget;
  readonly copy: Copy;
  readonly source: SourceFacts;
  /** Stands in `backup_label`. */
  readonly label: string;
  readonly checkpoint: 'fast' | 'spread';
  readonly maxRateKiB: number | undefined;
  /** Our clock, Unix milliseconds. */
  readonly now: () => number;
}

/** What a reader says when every file is in. */
export interface ReadBackup {
  readonly timeline: TimelineId;
  readonly startLsn: Lsn;
  readonly stopLsn: Lsn;
  readonly stopTimeline: TimelineId;
  readonly tablespaces: readonly TablespaceLocation[];
  readonly backupLabel: string;
  readonly tablespaceMap?: string | undefined;
  /** The server's clock less ours, as far as the copy has shown it. */
  readonly clockSkewMs: number;
  /** `backup_manifest`: the server's own, byte for byte, or one made from what was read. */
  readonly serverManifest: Uint8Array;
}

/** Reads a cluster into the copy. */
export type ReadCluster = (
  request: ReadRequest,
  options: StageOptions & { signal: AbortSignal },
) => Promise<ReadBackup>;
