/** `@keyframe/http`: what store adapters over HTTP share. One attempt per request, in time, byte for byte. @packageDocumentation */
export { createHttpClient, type HttpClient, type HttpOptions, type HttpRequest, type HttpResponse } from './client.ts';
export { eachItem } from './each.ts';
export { clockSkewMs, phaseDetails, throttleDetails } from './faults.ts';
export { LostAnswers } from './lost-answers.ts';
export { type Part, partsOf } from './parts.ts';
export { type Expected, readText, verified } from './reading.ts';
export { untilAborted } from './waiting.ts';
