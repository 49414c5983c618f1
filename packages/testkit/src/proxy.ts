/** `@keyframe/testkit/proxy`: an HTTP proxy that harms on purpose what passes through it. @packageDocumentation */
export type { Dialect } from './proxy/envelopes.ts';
export { type HarmedStore, httpFaultCases } from './proxy/fault-cases.ts';
export { type ActiveFault, type FaultProxy, type ProxyAim, startFaultProxy } from './proxy/fault-proxy.ts';
export {
  answered,
  bandwidth,
  type BodyStep,
  cutBody,
  cutUpload,
  expiredCredentials,
  flippedByte,
  flippedUploadByte,
  latency,
  lostAcknowledgement,
  type OwnAnswer,
  type ProxyFault,
  reset,
  stalled,
  stalledBody,
  throttled,
  withoutHeaders,
} from './proxy/faults.ts';
export { type RecordedRequest, type Recorder, startRecorder } from './proxy/recorder.ts';
