/** `@keyframe/testkit/postgres`: real PostgreSQL servers for tests. @packageDocumentation */
export { allMajors, ensurePostgres, type Major, postgresMajors } from './binaries.ts';
export { Cluster, type ClusterOptions, type SqlOptions, type StartOptions } from './cluster.ts';
export { type Component, missing, needs, type Skippable } from './needs.ts';
export { childrenOf, killTree } from './processes.ts';
export { mountSmall, type SmallFileSystem } from './tmpfs.ts';
export { cleanEnvironment, type Finished, freePort, type RunOptions, runUnprivileged } from './runner.ts';
