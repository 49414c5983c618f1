/**
 * Reads the tar archives of BASE_BACKUP as they arrive: ustar, with pax and GNU extensions for long names and sizes.
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06
 * @packageDocumentation
 */
import { BLOCK_BYTES, corrupt, decodeName, isZeroBlock, readHeader, readPax, type TarHeader } from './tar-header.ts';

/** Takes members in order. A promise means "wait". */
export interface TarSink {
  member(header: TarHeader): void | Promise<void>;
  /** Content of the current file, without padding. Valid during the call, or until its promise settles. */
  content(view: Uint8Array): void | Promise<void>;
  /** The current file is complete. */
  end(): void | Promise<void>;
}

type Phase = 'header' | 'extension' | 'content' | 'end' | 'padding';
/** Long names and attributes; a path has at most 4 KiB. */
const LONGEST_EXTENSION_BYTES = 1 << 20;

/** What extension headers say about the next member. */
interface Extended {
  name?: string;
  linkName?: string;
  sizeBytes?: number;
  modifiedAtSeconds?: number;
}

/** Cuts an archive into members. File content passes through without a copy and without a promise. */
export class TarReader {
  readonly #sink: TarSink;
  readonly #live: () => boolean;
  readonly #gathered: Buffer = Buffer.alloc(BLOCK_BYTES);
  #phase: Phase = 'header';
  /** Bytes the current phase still wants. */
  #left = BLOCK_BYTES;
  #padding = 0;
  #extension: { readonly type: string; readonly bytes: Buffer } | undefined;
  #global: Extended = {};
  #next: Extended = {};

  /** Once `live` says no, what was read already is dropped instead of delivered. */
  constructor(sink: TarSink, live: () => boolean = () => true) {
    this.#sink = sink;
    this.#live = live;
  }

  /** Takes the next bytes. When a promise comes back, `view` must stay as it is until that settles. */
  push(view: Uint8Array): void | Promise<void> {
    return this.#run(view, 0);
  }

  /** @throws {KeyframeError} CORRUPT when the archive stops within a member. */
  finish(): void {
    // The last member's padding may be left out: PostgreSQL 14 leaves out the end of the archive.
    const whole = this.#phase === 'header' ? this.#left === BLOCK_BYTES : this.#phase === 'padding';
    if (!whole || this.#extension !== undefined) throw corrupt('it ends within a member');
  }

  #run(view: Uint8Array, start: number): void | Promise<void> {
    let offset = start;
    // The end of a file needs no further byte.
    while ((offset < view.length || this.#phase === 'end') && this.#live()) {
      const end = Math.min(view.length, offset + this.#left);
      const waiting = this.#step(view, offset, end);
      offset = end;
      if (waiting !== undefined) {
        const next = offset;
        return waiting.then(() => this.#run(view, next));
      }
    }
    return undefined;
  }

  /** Takes the bytes from `start` to `end`, at most as many as the phase wants. */
  #step(view: Uint8Array, start: number, end: number): void | Promise<void> {
    this.#left -= end - start;
    switch (this.#phase) {
      case 'content':
        if (this.#left === 0) this.#enter('end', 0);
        return this.#sink.content(view.subarray(start, end));
      case 'end':
        this.#enterPadding();
        return this.#sink.end();
      case 'header':
        this.#gathered.set(view.subarray(start, end), BLOCK_BYTES - this.#left - (end - start));
        return this.#left === 0 ? this.#header() : undefined;
      case 'extension': {
        const bytes = this.#extension?.bytes;
        bytes?.set(view.subarray(start, end), bytes.length - this.#left - (end - start));
        return this.#left === 0 ? this.#extended() : undefined;
      }
      case 'padding':
        if (this.#left === 0) this.#enter('header', BLOCK_BYTES);
        return undefined;
    }
  }

  #enter(phase: Phase, left: number): void {
    this.#phase = phase;
    this.#left = left;
  }

  #enterPadding(): void {
    if (this.#padding > 0) this.#enter('padding', this.#padding);
    else this.#enter('header', BLOCK_BYTES);
  }

  #header(): void | Promise<void> {
    this.#enter('header', BLOCK_BYTES);
    // The end of an archive, if PostgreSQL sends one, is zero blocks.
    if (isZeroBlock(this.#gathered)) return undefined;
    const header = readHeader(this.#gathered);
    if (header.extension) return this.#startExtension(header);
    const found: TarHeader = { ...header, ...this.#global, ...this.#next };
    this.#next = {};
    if (found.type !== 'file') {
      this.#padding = 0;
      return this.#sink.member({ ...found, sizeBytes: 0 });
    }
    this.#padding = -found.sizeBytes & (BLOCK_BYTES - 1);
    this.#enter(found.sizeBytes === 0 ? 'end' : 'content', found.sizeBytes);
    return this.#sink.member(found);
  }

  #startExtension({ typeFlag, sizeBytes }: { readonly typeFlag: string; readonly sizeBytes: number }): void {
    if (sizeBytes === 0 || sizeBytes > LONGEST_EXTENSION_BYTES) throw corrupt(`an extension of ${sizeBytes} bytes`);
    this.#padding = -sizeBytes & (BLOCK_BYTES - 1);
    this.#extension = { type: typeFlag, bytes: Buffer.alloc(sizeBytes) };
    this.#enter('extension', sizeBytes);
  }

  #extended(): void {
    const { type, bytes } = this.#extension ?? { type: '', bytes: Buffer.of() };
    this.#extension = undefined;
    this.#enterPadding();
    if (type === 'L') this.#next.name = decodeName(bytes);
    else if (type === 'K') this.#next.linkName = decodeName(bytes);
    else Object.assign(type === 'g' ? this.#global : this.#next, readAttributes(bytes));
  }
}

function readAttributes(bytes: Buffer): Extended {
  const attributes = readPax(bytes);
  const found: Extended = {};
  const number = (name: string): number | undefined => {
    const text = attributes.get(name);
    if (text === undefined) return undefined;
    const value = Math.floor(Number(text));
    if (text === '' || !Number.isSafeInteger(value)) throw corrupt(`attribute ${name} is no number`);
    return value;
  };
  const name = attributes.get('path');
  const linkName = attributes.get('linkpath');
  const sizeBytes = number('size');
  const modifiedAtSeconds = number('mtime');
  if (sizeBytes !== undefined && sizeBytes < 0) throw corrupt('a negative size');
  if (name !== undefined) found.name = name;
  if (linkName !== undefined) found.linkName = linkName;
  if (sizeBytes !== undefined) found.sizeBytes = sizeBytes;
  if (modifiedAtSeconds !== undefined) found.modifiedAtSeconds = modifiedAtSeconds;
  return found;
}
