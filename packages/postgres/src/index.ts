/**
 * Talks to PostgreSQL. Nothing outside this package speaks to a server, reads its control file or writes its settings.
 * @packageDocumentation
 */

// Files of a data directory, and settings.
export { type BackupLabel, fullBackupLabel, parseBackupLabel } from './control/backup-label.ts';
export { type ControlData, type ControlState, readControlFile } from './control/control-file.ts';
export {
  cleanAutoConf,
  type CleanOptions,
  type ConfigSetting,
  parseConfig,
  parseConfigLine,
  removeConfigBlock,
  renderConfigBlock,
  rewriteAutoConf,
} from './settings/auto-conf.ts';
export { parseCommandSetting, quoteForCommandSetting } from './settings/command-setting.ts';
export { quoteForConfig, shellQuote, unquoteFromConfig } from './settings/quoting.ts';
export {
  type ManifestCluster,
  type ManifestFile,
  ManifestWriter,
  type WalRange,
  writeBackupManifest,
} from './manifest/backup-manifest.ts';
export {
  recoverySettings,
  type RecoverySettings,
  type RecoveryStop,
  renderRecoverySettings,
} from './settings/recovery.ts';
export {
  childHistory,
  formatTimelineHistory,
  historyContains,
  historyReaches,
  parseTimelineHistory,
  pathOf,
  segmentTimelines,
  timelineAt,
  type TimelineAncestor,
  type TimelineHistory,
  type TimelineSpan,
} from './timeline/history.ts';

// Connections, and the replication protocol.
export { resolveConnection } from './connection/resolve.ts';
export type {
  ConnectionTarget,
  Environment,
  ServerHost,
  SessionAttributes,
  SslFile,
  SslMode,
  SslSettings,
} from './connection/target.ts';
export { connectReplication, type ConnectReplicationOptions } from './replication/connection.ts';
export type {
  BackupEntry,
  BackupStart,
  BackupTablespace,
  BaseBackupOptions,
  BaseBackupResult,
  BaseBackupSink,
  IncrementalFile,
  ReplicationConnection,
} from './replication/types.ts';
export type { PhysicalSlot } from './replication/slot.ts';
export type {
  TimelineSwitch,
  WalPositions,
  WalStream,
  WalStreamOptions,
  WalStreamSink,
} from './replication/wal-stream.ts';
export type { IncrementalObstacle } from './replication/incremental-fault.ts';
export { summaryFaultMendedIn } from './replication/summary-fault.ts';
export { parseServerVersion } from './replication/version.ts';
export type { ServerNotice } from './wire/backend.ts';

// Pages and files of relations, and backups that read the data directory itself.
export { createPageInspector } from './page/inspector.ts';
export { PAGE, type PageCounts, type PageInspector, type PageQuestion } from './page/page-state.ts';
export { readPage } from './page/read-page.ts';
export { parseRelationPath, type RelationFile, type RelationFork } from './page/relation-path.ts';
export { openLocalBackup } from './local-backup/open-local-backup.ts';
export { openLocalFile } from './local-backup/local-file.ts';
export type {
  LocalBackup,
  LocalBackupEnd,
  LocalBackupFile,
  LocalBackupOptions,
  LocalEntry,
  LocalFile,
  WalkOptions,
} from './local-backup/types.ts';

// Plain SQL.
export type {
  ArchiverFacts,
  RoleFacts,
  ServerFacts,
  SettingFact,
  SlotFact,
  TablespaceFact,
  WalFacts,
} from './sql/facts.ts';
export { inspectServer, type InspectOptions } from './sql/inspect.ts';
export { leastPrivilegeSql, quoteIdentifier, quoteLiteral } from './sql/least-privilege.ts';
export {
  createRestorePoint,
  currentLsn,
  emitMessage,
  type EmitMessageOptions,
  probeRecovery,
  type RecoveryProbe,
  switchWal,
  readServerClock,
} from './sql/operations.ts';
export { databaseName, relationName } from './sql/relation-name.ts';
export { connectSql, type SqlSession } from './sql/session.ts';
export { readSlotState, readSynchronousSettings, type SlotState, type SynchronousSettings } from './sql/slot-state.ts';

// Programs and servers of this machine.
export { type EmbeddedPackage, findEmbeddedPackage, prepareEmbedded } from './local/embedded.ts';
export { findPostgres, type FindPostgresOptions, type Installation } from './local/find.ts';
export { initdb, type InitdbOptions, runTool, type ToolOptions } from './local/initdb.ts';
export { isRunning, type Postmaster, readPostmaster } from './local/postmaster.ts';
export type { StartProgress } from './local/progress.ts';
export { findRunner, type FindRunnerOptions, handOver, makeDirectory, type Runner } from './local/runner.ts';
export { LocalServer, type StartOptions, type StartOutcome, stopServer, type WaitOptions } from './local/server.ts';
