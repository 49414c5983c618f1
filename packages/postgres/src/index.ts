/**
 * Talks to PostgreSQL. Nothing outside this package speaks to a server, reads its control file or writes its settings.
 * @packageDocumentation
 */

// Files of a data directory, and settings.
export { type BackupLabel, parseBackupLabel } from './control/backup-label.ts';
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
