/** `@keyframe/testkit`: what every adapter must do, as data; and stores that fail on purpose. @packageDocumentation */
export { type CaseResult, checkStore, type CheckStoreOptions, type StoreReport } from './check/check-store.ts';
export type { StoreFact } from './check/facts.ts';
export type { Measurements } from './check/measure.ts';
export { compressorCases } from './compressor-cases.ts';
export { type ContractCase, describeContract, type Runner } from './contract.ts';
export { encryptorCases } from './encryptor-cases.ts';
export { type Aim, failing, type Fault, faulty, type Operation, slow } from './faulty.ts';
export { breakingOff, cutShort, flippedBit } from './faulty-reads.ts';
export { type FacetName, failingFacet, partialDelete, staleListing, throttling } from './faulty-facets.ts';
export { fullAfter, losingAcknowledgement, readOnly } from './faulty-writes.ts';
export { testHost } from './host.ts';
export { contentOf, createMemoryStore, type MemoryStoreOptions } from './memory-store.ts';
export { createVersionedMemoryStore } from './memory-versions.ts';
export { metricsCases } from './metrics-cases.ts';
export { notifierCases } from './notifier-cases.ts';
export { storeCases } from './store/cases.ts';
