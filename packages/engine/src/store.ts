/** What is put around a store before anything else uses it. @packageDocumentation */
export { immutable, type ImmutableOptions, lockOf } from './store/immutable.ts';
export { DEFAULT_RETRY, retrying, type RetryPolicy } from './store/retry.ts';
