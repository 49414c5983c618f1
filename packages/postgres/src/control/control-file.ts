/**
 * Reads `global/pg_control`.
 *
 * Offsets follow `ControlFileData` on 64-bit platforms. They are the same in 1300 (13 to 16), 1700 and 1800 up to
 * `data_checksum_version`; 1800 adds `default_char_signedness` behind it, which moves the nonce and the CRC.
 * @see src/include/catalog/pg_control.h in PostgreSQL 14 to 18
 * @packageDocumentation
 */
import { KeyframeError, type Lsn, lsn, type TimelineId } from '@keyframe/contracts';
import { crc32c } from '@keyframe/wal';

/** What PostgreSQL was doing when it last wrote the control file. */
export type ControlState =
  | 'starting up'
  | 'shut down'
  | 'shut down in recovery'
  | 'shutting down'
  | 'in crash recovery'
  | 'in archive recovery'
  | 'in production';

/** Facts of one control file, proven by its CRC. */
export interface ControlData {
  readonly systemIdentifier: string;
  readonly controlVersion: number;
  readonly catalogVersion: number;
  /** `undefined` for a catalog version that no release of 14 to 18 has (a beta, a fork). */
  readonly postgresMajor: 14 | 15 | 16 | 17 | 18 | undefined;
  readonly state: ControlState;
  /** Start of the latest checkpoint record. */
  readonly checkpoint: Lsn;
  /** Where recovery would begin to replay. */
  readonly redo: Lsn;
  readonly timeline: TimelineId;
  readonly previousTimeline: TimelineId;
  /** Server clock at the latest checkpoint, in Unix seconds. */
  readonly checkpointTimeSeconds: number;
  /** Zero outside archive recovery. */
  readonly minRecoveryPoint: Lsn;
  readonly minRecoveryPointTimeline: TimelineId;
  /** Non-zero while a base backup has not been recovered to its end. */
  readonly backupStartPoint: Lsn;
  readonly backupEndPoint: Lsn;
  readonly backupEndRequired: boolean;
  readonly walLevel: 'minimal' | 'replica' | 'logical';
  readonly maxConnections: number;
  readonly maxWorkerProcesses: number;
  readonly maxWalSenders: number;
  readonly maxPreparedTransactions: number;
  readonly maxLocksPerTransaction: number;
  readonly blockSizeBytes: number;
  readonly walBlockSizeBytes: number;
  readonly walSegmentSizeBytes: number;
  /** Blocks of one file of a large relation. */
  readonly relationSegmentBlocks: number;
  /** 0 when data checksums are off. */
  readonly dataChecksumVersion: number;
}

const STATES: readonly ControlState[] = [
  'starting up',
  'shut down',
  'shut down in recovery',
  'shutting down',
  'in crash recovery',
  'in archive recovery',
  'in production',
];
const WAL_LEVELS = ['minimal', 'replica', 'logical'] as const;
const CRC_OFFSET: ReadonlyMap<number, number> = new Map([
  [1300, 288],
  [1700, 288],
  [1800, 292],
]);
const MAJORS: ReadonlyMap<number, ControlData['postgresMajor']> = new Map([
  [202107181, 14],
  [202209061, 15],
  [202307071, 16],
  [202406281, 17],
  [202506291, 18],
]);

/**
 * Facts of a control file. A copy taken from a running server can be torn: read it again when this says CORRUPT.
 * @throws {KeyframeError} UNSUPPORTED for a layout of another major or byte order; CORRUPT when short or its CRC is wrong.
 */
export function readControlFile(bytes: Uint8Array): ControlData {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  verifyControlFile(view, bytes);
  const u32 = (offset: number): number => view.getUint32(offset, true);
  const position = (offset: number): Lsn => lsn(view.getBigUint64(offset, true));
  return {
    systemIdentifier: view.getBigUint64(0, true).toString(),
    controlVersion: u32(8),
    catalogVersion: u32(12),
    postgresMajor: MAJORS.get(u32(12)),
    state: known(STATES, u32(16), 'state'),
    checkpoint: position(32),
    redo: position(40),
    timeline: u32(48),
    previousTimeline: u32(52),
    checkpointTimeSeconds: Number(view.getBigInt64(104, true)),
    minRecoveryPoint: position(136),
    minRecoveryPointTimeline: u32(144),
    backupStartPoint: position(152),
    backupEndPoint: position(160),
    backupEndRequired: view.getUint8(168) !== 0,
    walLevel: known(WAL_LEVELS, u32(172), 'wal_level'),
    maxConnections: u32(180),
    maxWorkerProcesses: u32(184),
    maxWalSenders: u32(188),
    maxPreparedTransactions: u32(192),
    maxLocksPerTransaction: u32(196),
    blockSizeBytes: u32(216),
    relationSegmentBlocks: u32(220),
    walBlockSizeBytes: u32(224),
    walSegmentSizeBytes: u32(228),
    dataChecksumVersion: u32(252),
  };
}

function verifyControlFile(view: DataView, bytes: Uint8Array): void {
  if (bytes.length < 296)
    throw new KeyframeError('CORRUPT', `pg_control has ${bytes.length} bytes, too few to be a control file`, {
      hint: 'Take global/pg_control from another base backup with `keyframe restore`.',
    });
  const version = view.getUint32(8, true);
  const crcOffset = CRC_OFFSET.get(version);
  if (crcOffset === undefined)
    throw new KeyframeError(
      'UNSUPPORTED',
      `pg_control has format ${version}, which is not that of PostgreSQL 14 to 18`,
      {
        hint: 'Compare with `pg_controldata` of the server that wrote it; byte order and major must be those of this machine.',
        details: { controlVersion: version },
      },
    );
  const stored = view.getUint32(crcOffset, true);
  const computed = crc32c(bytes.subarray(0, crcOffset)) >>> 0;
  if (stored !== computed)
    throw new KeyframeError('CORRUPT', 'pg_control does not match its own checksum', {
      hint: 'Read the file again if the server runs; else check it with `pg_controldata`.',
      details: { stored, computed },
    });
}

function known<T>(values: readonly T[], index: number, what: string): T {
  const value = values[index];
  if (value === undefined) throw new KeyframeError('CORRUPT', `pg_control has the unknown ${what} ${index}`);
  return value;
}
