/** Removing objects: up to 256 of them in one request. @packageDocumentation */
import { randomUUID } from 'node:crypto';
import { hasCode, ignoring, type KeyframeError } from '@keyframe/contracts';
import { eachItem, readText } from '@keyframe/http';
import type { Azure } from './azure.ts';

/** What is removed. */
export interface Doomed {
  readonly key: string;
  /** That version for good. Absent: the object; its old versions stay. */
  readonly version?: string | undefined;
}

/** The most that the service takes. */
const BATCH = 256;
/** Below that a request each is as quick. */
const WORTH_A_BATCH = 3;
/** Batches on their way at once. */
const BATCHES_AT_ONCE = 4;

/** Absent ones are as good as removed; when some cannot be removed the others are. */
export async function removeAll(
  azure: Azure,
  doomed: readonly Doomed[],
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const { key } of doomed) azure.nameOf(key);
  const batches = Array.from({ length: Math.ceil(doomed.length / BATCH) }, (_, index) =>
    doomed.slice(index * BATCH, (index + 1) * BATCH),
  );
  await eachItem(batches, BATCHES_AT_ONCE, signal, (batch) => removeBatch(azure, batch, signal));
}

async function removeBatch(azure: Azure, doomed: readonly Doomed[], signal: AbortSignal | undefined): Promise<void> {
  const singly = (): Promise<void> =>
    eachItem(doomed, azure.options.connections, signal, (each) => removeOne(azure, each, signal));
  if (doomed.length < WORTH_A_BATCH) return singly();
  let faults: readonly KeyframeError[];
  try {
    faults = await sendBatch(azure, doomed, signal);
  } catch (error) {
    // Some SAS and some emulators know no batches.
    if (!hasCode(error, 'ACCESS_DENIED', 'INVALID_OPTION', 'CONFLICT', 'NOT_FOUND')) throw error;
    return singly();
  }
  const real = faults.filter((fault) => fault.code !== 'NOT_FOUND');
  await eachItem(real, 1, undefined, (fault) => Promise.reject(fault));
}

async function removeOne(azure: Azure, { key, version }: Doomed, signal: AbortSignal | undefined): Promise<void> {
  await azure.headers({ method: 'DELETE', key, query: { versionid: version }, signal }).catch(ignoring('NOT_FOUND'));
}

/** The faults of those that were not removed. */
async function sendBatch(
  azure: Azure,
  doomed: readonly Doomed[],
  signal: AbortSignal | undefined,
): Promise<KeyframeError[]> {
  const boundary = `batch_${randomUUID()}`;
  const parts: string[] = [];
  for (const [index, { key, version }] of doomed.entries()) {
    const url = azure.urlOf({ key, query: { versionid: version } });
    const headers = await azure.authorized('DELETE', url, { 'content-length': '0' }, signal);
    parts.push(
      `--${boundary}`,
      'Content-Type: application/http',
      'Content-Transfer-Encoding: binary',
      `Content-ID: ${index}`,
      '',
      `DELETE ${url.pathname}${url.search} HTTP/1.1`,
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
      '',
      '',
    );
  }
  parts.push(`--${boundary}--`, '');
  const response = await azure.send({
    method: 'POST',
    query: { restype: 'container', comp: 'batch' },
    headers: { 'content-type': `multipart/mixed; boundary=${boundary}` },
    body: [Buffer.from(parts.join('\r\n'))],
    signal,
  });
  return faultsIn(azure, await readText(response), doomed);
}

/** Every answer counts by itself; what was not answered is asked for again by the caller's retry. */
function faultsIn(azure: Azure, text: string, doomed: readonly Doomed[]): KeyframeError[] {
  const faults: KeyframeError[] = [];
  const answered = new Set<number>();
  for (const part of text.split(/\r?\n--/)) {
    const status = Number(/HTTP\/1\.\d (\d{3})/.exec(part)?.[1] ?? 0);
    if (status === 0) continue;
    const id = Number(/^Content-ID:\s*(\d+)/im.exec(part)?.[1] ?? answered.size);
    answered.add(id);
    if (status < 300) continue;
    const code = /^x-ms-error-code:\s*(\S+)/im.exec(part)?.[1];
    const response = { status, headers: code === undefined ? {} : { 'x-ms-error-code': code }, body: nothing() };
    faults.push(azure.faultOf(response, part, doomed[id]?.key));
  }
  for (const [index, { key }] of doomed.entries())
    if (!answered.has(index)) faults.push(azure.faultOf({ status: 500, headers: {}, body: nothing() }, '', key));
  return faults;
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  yield* [];
}
