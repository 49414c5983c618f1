/** `@keyframe/testkit`: what every adapter must do, as data; and stores that fail on purpose. @packageDocumentation */
export { compressorCases } from './compressor-cases.ts';
export { type ContractCase, describeContract, type Runner } from './contract.ts';
export {
  type Aim,
  breakingOff,
  cutShort,
  failing,
  type Fault,
  faulty,
  flippedBit,
  fullAfter,
  losingAcknowledgement,
  type Operation,
  readOnly,
  slow,
} from './faulty.ts';
export { testHost } from './host.ts';
export { contentOf, createMemoryStore, type MemoryStoreOptions } from './memory-store.ts';
export { storeCases } from './store/cases.ts';
