/** Recovery targets: from what a user asks for to the exact record at which PostgreSQL stops. @packageDocumentation */
export { type FactScan, requireMoment, resolveMoment, watchFor } from './moment.ts';
export { describeTarget, parseTarget, type RecoveryTarget, stopOf, type TargetOptions } from './recovery-target.ts';
export type { Moment, ReplayStart, Resolution } from './stop-rule.ts';
export { formatMicros } from './time.ts';
export { unreachableError } from './unreachable.ts';
