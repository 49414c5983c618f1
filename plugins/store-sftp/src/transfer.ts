/** Reads and writes that keep many requests under way: one at a time would wait a round trip for each. @packageDocumentation */
import { type Abortable, type ByteStream, KeyframeError } from '@keyframe/contracts';
import type { Channel } from './channel.ts';

/** Requests under way of one file, at most. */
const REQUESTS = 64;
/** Bytes under way of one file: as many as a channel of SSH lets through. */
const WINDOW_BYTES = 2 * 1024 * 1024;

/** Writes a stream to an open file; resolves with its length when the server has answered every request. */
export async function writeStream(
  channel: Channel,
  handle: Buffer,
  stream: ByteStream,
  options: Abortable,
): Promise<number> {
  const writer = new Writer(channel, handle, options);
  // What is gathered is copied when it is sent, so one buffer serves all.
  const gathered = Buffer.allocUnsafeSlow(channel.requestBytes);
  let used = 0;
  try {
    for await (const chunk of stream) {
      for (let at = 0; at < chunk.length;) {
        const part = chunk.subarray(at, at + gathered.length - used);
        gathered.set(part, used);
        used += part.length;
        at += part.length;
        if (used < gathered.length) continue;
        await writer.write(gathered);
        used = 0;
      }
    }
    if (used > 0) await writer.write(gathered.subarray(0, used));
  } finally {
    // Nothing may be under way when the file is closed and removed.
    await writer.settle();
  }
  writer.assertDone();
  return writer.position;
}

class Writer {
  position = 0;
  readonly #channel: Channel;
  readonly #handle: Buffer;
  readonly #options: Abortable;
  readonly #underWay = new Set<Promise<void>>();
  #bytes = 0;
  #fault: { readonly error: unknown } | undefined;

  constructor(channel: Channel, handle: Buffer, options: Abortable) {
    this.#channel = channel;
    this.#handle = handle;
    this.#options = options;
  }

  async write(bytes: Buffer): Promise<void> {
    while (this.#underWay.size >= REQUESTS || this.#bytes + bytes.length > WINDOW_BYTES)
      await Promise.race(this.#underWay);
    this.assertDone();
    const { length } = bytes;
    this.#bytes += length;
    const request = this.#channel.write(this.#handle, bytes, this.position, this.#options).then(
      () => undefined,
      (error: unknown) => {
        this.#fault ??= { error };
      },
    );
    this.position += length;
    this.#underWay.add(request);
    void request.finally(() => {
      this.#underWay.delete(request);
      this.#bytes -= length;
    });
  }

  async settle(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  assertDone(): void {
    if (this.#fault !== undefined) throw this.#fault.error;
  }
}

/** What is read of an open file. */
export interface Extent {
  readonly handle: Buffer;
  readonly start: number;
  readonly end: number;
}

/** The bytes of an open file in order, read ahead. */
export async function* readExtent(
  channel: Channel,
  { handle, start, end }: Extent,
  key: string,
  options: Abortable,
): ByteStream {
  const { requestBytes } = channel;
  const depth = Math.min(REQUESTS, Math.max(1, Math.floor(WINDOW_BYTES / requestBytes)));
  const ahead: Promise<Buffer>[] = [];
  let next = start;
  for (;;) {
    while (next < end && ahead.length < depth) {
      const length = Math.min(requestBytes, end - next);
      const request = readFully(channel, { handle, start: next, end: next + length }, key, options);
      request.catch(() => undefined); // heard of when its turn comes, if it comes
      ahead.push(request);
      next += length;
    }
    const first = ahead.shift();
    if (first === undefined) return;
    yield await first;
  }
}

/** A server may answer with less than it was asked for. */
async function readFully(
  channel: Channel,
  { handle, start, end }: Extent,
  key: string,
  options: Abortable,
): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(end - start);
  for (let at = 0; at < buffer.length;) {
    const count = await channel.read(handle, buffer, at, start + at, options);
    if (count === 0) throw new KeyframeError('CORRUPT', `object '${key}': it shrank while it was read`);
    at += count;
  }
  return buffer;
}
