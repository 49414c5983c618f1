/** Where a segment's bytes are kept until they are in the repository. @packageDocumentation */
import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ByteSource, ByteStream } from '@keyframe/contracts';

/** Bytes of one segment, written from its beginning on. */
export interface SegmentMemory {
  /** A promise means "wait". */
  write(view: Uint8Array, offset: number): void | Promise<void>;
  /** Bytes that were written before. */
  source(start: number, end: number): ByteSource & { readonly sizeBytes: number };
  free(): Promise<void>;
}

/** Lends memory for segments, as much as is allowed at once. */
export interface SegmentPool {
  /** `undefined` while all is lent. */
  take(): SegmentMemory | undefined;
}

/** What all segments together may take in memory; larger ones lie in temporary files, two at once. */
const MEMORY_BYTES = 96 << 20;
const MOST_AT_ONCE = 4;
const READ_BYTES = 1 << 20;

/** `directory` is for segments that are too large for memory; it is made by the caller. */
export function segmentPool(segmentSizeBytes: number, directory: string): SegmentPool {
  const inMemory = Math.min(MOST_AT_ONCE, Math.floor(MEMORY_BYTES / segmentSizeBytes));
  const most = Math.max(2, inMemory);
  const buffers: Buffer[] = [];
  let lent = 0;
  return {
    take() {
      if (lent >= most) return undefined;
      lent += 1;
      const giveBack = (): void => {
        lent -= 1;
      };
      if (inMemory < 2) return new FileMemory(join(directory, `segment-${randomUUID()}`), giveBack);
      const buffer = buffers.pop() ?? Buffer.allocUnsafeSlow(segmentSizeBytes);
      return new BufferMemory(buffer, () => {
        giveBack();
        buffers.push(buffer);
      });
    },
  };
}

class BufferMemory implements SegmentMemory {
  readonly #buffer: Buffer;
  readonly #giveBack: () => void;

  constructor(buffer: Buffer, giveBack: () => void) {
    this.#buffer = buffer;
    this.#giveBack = giveBack;
  }

  write(view: Uint8Array, offset: number): void {
    this.#buffer.set(view, offset);
  }

  source(start: number, end: number): ByteSource & { readonly sizeBytes: number } {
    const bytes = this.#buffer.subarray(start, end);
    return {
      sizeBytes: bytes.length,
      open: async function* () {
        yield bytes;
      },
    };
  }

  async free(): Promise<void> {
    this.#giveBack();
  }
}

class FileMemory implements SegmentMemory {
  readonly #path: string;
  readonly #giveBack: () => void;
  #handle: Promise<FileHandle> | undefined;

  constructor(path: string, giveBack: () => void) {
    this.#path = path;
    this.#giveBack = giveBack;
  }

  async write(view: Uint8Array, offset: number): Promise<void> {
    this.#handle ??= open(this.#path, 'wx+', 0o600);
    const handle = await this.#handle;
    for (let at = 0; at < view.length;)
      at += (await handle.write(view, at, view.length - at, offset + at)).bytesWritten;
  }

  source(start: number, end: number): ByteSource & { readonly sizeBytes: number } {
    return { sizeBytes: end - start, open: () => this.#read(start, end) };
  }

  async *#read(start: number, end: number): ByteStream {
    const handle = await this.#handle;
    if (handle === undefined) return;
    for (let at = start; at < end;) {
      const wanted = Math.min(READ_BYTES, end - at);
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(wanted), 0, wanted, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async free(): Promise<void> {
    this.#giveBack();
    await (await this.#handle)?.close();
    await rm(this.#path, { force: true });
  }
}

/** SHA-256 of a range, hexadecimal. */
export async function sha256Of(source: ByteSource): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of source.open()) hash.update(chunk);
  return hash.digest('hex');
}
