/**
 * The contracts between the engine and its adapters. This package has no runtime dependency and imports nothing of Keyframe.
 * @packageDocumentation
 */
export type {
  Encryptor,
  Executor,
  Managed,
  Metrics,
  Notice,
  Notifier,
  Snapshot,
  SnapshotCapabilities,
  SnapshotInfo,
} from './adapters.ts';
export type { Abortable, ByteSource, ByteStream, ByteTransform, Closable } from './bytes.ts';
export type { Compressor } from './compressor.ts';
export { counted } from './counted.ts';
export {
  type AdapterErrorCode,
  type EngineErrorCode,
  type ErrorCode,
  type ErrorDetails,
  hasCode,
  ignoring,
  isKeyframeError,
  KeyframeError,
  type KeyframeErrorInit,
} from './errors.ts';
export { facetsOf } from './facets-of.ts';
export { formatLsn, type Lsn, lsn, parseLsn, type TimelineId } from './lsn.ts';
export {
  type AdapterKinds,
  CONTRACT,
  definePlugin,
  type ExecOptions,
  type Host,
  type Log,
  type OptionsSchema,
  type Plugin,
  type SchemaResult,
} from './plugin.ts';
export { Secret } from './secret.ts';
export {
  assertObjectKey,
  assertPlainPut,
  type CopiesFacet,
  type GetOptions,
  type ObjectInfo,
  type PutOptions,
  type Store,
  type StoreCapabilities,
} from './store.ts';
export type {
  AccessFacet,
  AtRest,
  AtRestFacet,
  LifecycleFacet,
  LifecycleRule,
  ObjectVersion,
  ReplicationFacet,
  RetentionFacet,
  StorageClass,
  StoreLocation,
  StoreRole,
  TagsFacet,
  ThawSpeed,
  TiersFacet,
  TierState,
  VersionsFacet,
} from './store-facets.ts';
export {
  assertSegmentSize,
  historyName,
  parseWalFileName,
  segmentName,
  segmentNameAt,
  segmentNumberOf,
  segmentStart,
  type WalFileName,
} from './wal-name.ts';
