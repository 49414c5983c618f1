/**
 * The pipelines: backup, archive, plan, restore. Stages are functions: a context with what they need, an input, and a signal.
 * @packageDocumentation
 */
export { fetchWal, type FetchContext, type FetchOutcome } from './archive/fetch-wal.ts';
export { pushWal, type PushContext, type PushOutcome, type PushReport } from './archive/push-wal.ts';
export { type TimelineBranch, type TimelineTree, timelineTree } from './archive/timelines.ts';
export { type TimelineStatus, type WalStatus, walStatus } from './archive/wal-status.ts';
export { holderState, isHolderAlive, thisProcess } from './backup/holder.ts';
export { type BackupContext, type BackupInput, takeBackup } from './backup/take-backup.ts';
export { archiveAt, findBackup } from './catalogue.ts';
export { copy, type CopyCost, type CopyOutcome, type CopyRequest, type CopyStageContext } from './copy/copy.ts';
export { type DemoContext, type DemoLine, type DemoReport, runDemo } from './demo/demo.ts';
export { type DemoPostgres, findDemoPostgres } from './demo/find-postgres.ts';
export {
  applyExpiry,
  type ExpireContext,
  type ExpiryOutcome,
  foretellFreed,
  previewExpiry,
} from './expire/apply-expiry.ts';
export { describeExpiry, type ExpiryReport, type RangeReport } from './expire/describe-expiry.ts';
export { expiredBackups } from './expire/expired-backups.ts';
export { addHold, listHolds, removeHold } from './expire/holds.ts';
export { mirrorBlocks } from './expire/mirror-blocks.ts';
export type { RetentionPolicy } from './expire/policy.ts';
export { rebuild } from './expire/rebuild.ts';
export { undelete } from './expire/undelete.ts';
export type { EngineEvent, OnEvent, StageOptions } from './events.ts';
export { encodeOutline, outlineOf } from './log/outline.ts';
export { describeEffects, type EffectsReport } from './log/effects-report.ts';
export { planEffects } from './log/plan-effects.ts';
export { describeLog, type LogReport } from './log/log-report.ts';
export { parseLogRequest } from './log/log-request.ts';
export { readLog } from './log/read-log.ts';
export { announceRestore } from './recovery/announce-restore.ts';
export { adopt, type AdoptContext, type AdoptReport } from './recovery/adopt.ts';
export { describePlan, planRecovery, type PlanReport, type RecoveryPlan } from './recovery/plan.ts';
export { restore, type RestoreReport, type RestoreRequest } from './recovery/restore.ts';
export { checkStart, type StartedServer, startRestored, type StartRequest } from './recovery/start-restored.ts';
export { parseTablespaceMap } from './recovery/tablespace-map.ts';
export type { ReceiveEvent } from './receive/receive-event.ts';
export { type ReceiveReport, receiveWal } from './receive/receive-wal.ts';
export { type ArchiverStatus, readArchiver } from './server/archiver.ts';
export { describeTarget, formatMicros, parseTarget, type RecoveryTarget, type TargetOptions } from './target/index.ts';
export { damagedBackups, type KnownPackDamage } from './verify/damaged-backups.ts';
export { openMemory, type VerifyMemory } from './verify/memory.ts';
export type { Finding as VerifyFinding, VerifyReport } from './verify/report.ts';
export { createSigningKey } from './verify/signing-key.ts';
export type { VerifyContext, VerifyRequest } from './verify/request.ts';
export { verify } from './verify/verify.ts';
export type { RetryPolicy } from './store/patience.ts';
export { DEFAULT_RETRY, retrying } from './store/retry.ts';
export type { BackupRecord, Hold } from '@keyframe/repository';
export { doctor, type DoctorReport, judge } from './doctor/doctor.ts';
export type { ArchiveExpectation, Evidence } from './doctor/evidence.ts';
export type { Finding } from './doctor/finding.ts';
export type { GatherContext } from './doctor/gather.ts';
export { type AppliedSetup, applySetup } from './setup/apply-setup.ts';
export {
  adminTarget,
  clientAddressOf,
  connectionUrl,
  type FirstSight,
  localDataDirectory,
  lookAround,
} from './setup/look-around.ts';
export { planSetup, type SettingPlan, type SetupPlan, type SetupRequest } from './setup/plan-setup.ts';
export { type FirstConfiguration, renderConfiguration } from './setup/render-configuration.ts';
export { openIndexCache } from './lens/index-cache.ts';
export { indexWal, type IndexWalOptions, type IndexWalReport } from './lens/index-wal.ts';
export type { TrackerSource } from './lens/run-reader.ts';
export { readIndex, type ReadIndexOptions, type ReadSegmentIndex } from './lens/read-index.ts';
export { trackersOf } from './lens/trackers.ts';
export { type CostContext, type CostLine, type CostReport, type Growth, reckonCost } from './storage/cost.ts';
export { type StorageContext } from './storage/examine-stores.ts';
export {
  type AppliedLifecycle,
  applyLifecycle,
  type LifecycleContext,
  planLifecycle,
  type StoreLifecycle,
} from './storage/lifecycle.ts';
export { type ArchivedPacks, archivedPacks, notThawed, thaw } from './storage/thaw.ts';
export { LIST_PRICES, parsePrices, type PriceTable } from './storage/prices.ts';
