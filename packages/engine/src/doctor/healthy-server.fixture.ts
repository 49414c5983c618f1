/** A server on which everything is as it should be, for tests. @packageDocumentation */
import { lsn } from '@keyframe/contracts';
import { quoteForCommandSetting, type ServerFacts } from '@keyframe/postgres';
import type { ArchiveExpectation } from './evidence.ts';

const words = [
  '/opt/k/bin/keyframe-archive-command',
  '/opt/node',
  '/opt/k/main.mjs',
  '--config',
  '/etc/keyframe/keyframe.yaml',
];
/** The words of an archive_command. */
export const argumentsOf = (cluster = 'main', repository = 'vault'): string[] => [
  ...words,
  '--cluster',
  cluster,
  '--repository',
  repository,
  '--',
  '%p',
];
/** What `keyframe setup` would set there. */
export const expected: ArchiveExpectation = {
  command: quoteForCommandSetting(argumentsOf()),
  configFile: '/etc/keyframe/keyframe.yaml',
  clusterName: 'main',
  repositoryName: 'vault',
};

export const healthy: ServerFacts = {
  versionNumber: 180_006,
  major: 18,
  versionText: '18.6',
  systemIdentifier: '7',
  inRecovery: false,
  timeline: 1,
  currentLsn: lsn(0x300_0000n),
  walSegmentSizeBytes: 16 << 20,
  dataDirectory: '/data',
  configFile: undefined,
  hbaFile: undefined,
  walLevel: 'replica',
  archiveMode: 'on',
  archiveCommand: expected.command,
  archiveLibrary: '',
  archiveTimeoutSeconds: 60,
  maxWalSenders: 10,
  usedWalSenders: 1,
  maxReplicationSlots: 10,
  slots: [],
  fullPageWrites: true,
  fsync: true,
  dataChecksums: true,
  hotStandby: true,
  walCompression: 'lz4',
  synchronousStandbyNames: '',
  timeZone: 'UTC',
  clockSkewMs: 3,
  roundTripMs: 2,
  serverStartedAt: undefined,
  role: {
    name: 'keyframe',
    superuser: false,
    replication: true,
    monitor: true,
    readAllSettings: true,
    maySwitchWal: true,
    mayCreateRestorePoint: true,
    mayEmitMessage: true,
    mayStartBackup: true,
  },
  archiver: {
    archivedCount: 5,
    lastArchivedWal: '000000010000000000000002',
    lastArchivedTime: '2026-11-03 14:05:59+00',
    lastArchivedAgeSeconds: 30,
    failedCount: 0,
    lastFailedWal: undefined,
    lastFailedTime: undefined,
    failing: false,
  },
  wal: {
    directoryFiles: 2,
    directoryBytes: 32 << 20,
    readyFiles: 0,
    bytesSinceReset: 3_600_000,
    secondsSinceReset: 3600,
  },
  tablespaces: [],
  databaseBytes: 1 << 30,
  databases: 3,
  settings: new Map([['archive_command', { value: '', unit: undefined, source: 'default', pendingRestart: false }]]),
};
