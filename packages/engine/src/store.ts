/** What is put around a store before anything else uses it. @packageDocumentation */
export { immutable, type ImmutableOptions, lockOf } from './store/immutable.ts';
export { DEFAULT_PACE, type PaceEvent } from './store/pacer.ts';
export type { RetryPolicy } from './store/patience.ts';
export { classed, type StorageClasses } from './store/classed.ts';
export { DEFAULT_RETRY, retrying } from './store/retry.ts';
