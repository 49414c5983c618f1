/** `@keyframe/testkit/postgres`: real PostgreSQL servers for tests. @packageDocumentation */
export { allMajors, ensurePostgres, type Major, postgresMajors } from './binaries.ts';
export { Cluster, type ClusterOptions, type SqlOptions, type StartOptions } from './cluster.ts';
export { type Component, missing, needs, type Skippable } from './needs.ts';
export { childrenOf, killTree } from './processes.ts';
export { mountSmall, type SmallFileSystem } from './tmpfs.ts';
export { cleanEnvironment, type Finished, freePort, type RunOptions, runUnprivileged } from './runner.ts';
export { Ledger, type LedgerCluster, type LedgerOptions } from './ledger.ts';
export { readWal, type WalRecords } from './ledger-archive.ts';
export { differences, type LedgerState, readLedger } from './ledger-check.ts';
export {
  describeTarget,
  type Expectation,
  formatMicros,
  type LedgerTarget,
  Oracle,
  recoverySettings,
} from './ledger-oracle.ts';
export { announcedSeed, Random } from './random.ts';
