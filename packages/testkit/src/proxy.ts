/** `@keyframe/testkit/proxy`: an HTTP proxy that harms on purpose what passes through it. @packageDocumentation */
export {
  bandwidth,
  cutBody,
  cutUpload,
  flippedByte,
  flippedUploadByte,
  lostAcknowledgement,
  stalledBody,
} from './proxy/body-faults.ts';
export type { Dialect } from './proxy/envelopes.ts';
export { type HarmedStore, httpFaultCases } from './proxy/fault-cases.ts';
export { type ActiveFault, type FaultProxy, type ProxyAim, startFaultProxy } from './proxy/fault-proxy.ts';
export {
  answered,
  type BodyStep,
  expiredCredentials,
  latency,
  type OwnAnswer,
  type ProxyFault,
  reset,
  stalled,
  throttled,
  withoutHeaders,
} from './proxy/faults.ts';
export { type RecordedRequest, type Recorder, startRecorder } from './proxy/recorder.ts';
