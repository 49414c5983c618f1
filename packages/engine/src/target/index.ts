/** Recovery targets: from what a user asks for to the exact record at which PostgreSQL stops. @packageDocumentation */
export { type FactScan, requireMoment, resolveMoment, type ResolveOptions, watchFor } from './moment.ts';
export { describeTarget, parseTarget, type RecoveryTarget, stopOf, type TargetOptions } from './recovery-target.ts';
export type { Moment, ReplayStart, Resolution } from './stop-rule.ts';
export { formatMicros, parseTargetTime, type TargetTime, type TimeContext } from './time.ts';
export type { TransactionPoint } from './transaction-point.ts';
export { type Nearest, unreachableError, type WhyNot } from './unreachable.ts';
