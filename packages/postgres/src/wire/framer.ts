import { malformed } from './errors.ts';
import { TYPE } from './message-type.ts';

/** Takes messages in order. A promise means "wait": the next call comes when it has settled. */
export interface MessageSink {
  /** One whole message that is not CopyData. `body` is valid during the call, or until its promise settles. */
  message(type: number, body: Uint8Array): void | Promise<void>;
  /**
   * A piece of a CopyData message, as it came off the socket. `first` marks the start of a message, `leftBytes` how
   * much of it is still to come. The view is valid during the call, or until its promise settles.
   */
  copyData(view: Uint8Array, first: boolean, leftBytes: number): void | Promise<void>;
}

const HEADER_BYTES = 5;
/** Only CopyData may be long, and that is never gathered. Timeline histories and errors are far smaller. */
const LONGEST_MESSAGE_BYTES = 64 << 20;

/** Cuts the bytes of a connection into messages. CopyData passes through without a copy, everything else is small. */
export class MessageFramer {
  readonly #sink: MessageSink;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;
  #type = 0;
  /** Bytes of the current body still to come. */
  #left = 0;
  #first = false;
  /** Body of a message that arrives in pieces. */
  #body: Uint8Array | undefined;

  constructor(sink: MessageSink) {
    this.#sink = sink;
  }

  /** True between two messages: an end of the connection here cuts nothing in two. */
  get isBetweenMessages(): boolean {
    return this.#headerBytes === 0;
  }

  /** Takes the next bytes. When a promise comes back, `view` must stay as it is until that settles. */
  push(view: Uint8Array): void | Promise<void> {
    return this.#run(view, 0);
  }

  #run(view: Uint8Array, start: number): void | Promise<void> {
    let offset = start;
    while (offset < view.length) {
      if (this.#headerBytes < HEADER_BYTES) {
        offset += this.#readHeader(view, offset);
        // An empty body is complete at once.
        if (this.#headerBytes < HEADER_BYTES || this.#left > 0) continue;
      }
      const end = Math.min(view.length, offset + this.#left);
      const waiting = this.#take(view.subarray(offset, end));
      offset = end;
      if (waiting !== undefined) {
        const next = offset;
        return waiting.then(() => this.#run(view, next));
      }
    }
    return undefined;
  }

  /** Takes up to the whole header and returns how many bytes it used. */
  #readHeader(view: Uint8Array, offset: number): number {
    const used = Math.min(HEADER_BYTES - this.#headerBytes, view.length - offset);
    const header = this.#header;
    for (let index = 0; index < used; index += 1) header[this.#headerBytes + index] = view[offset + index] ?? 0;
    this.#headerBytes += used;
    if (this.#headerBytes < HEADER_BYTES) return used;
    const [type = 0, a = 0, b = 0, c = 0, d = 0] = header;
    const sizeBytes = ((a << 24) | (b << 16) | (c << 8) | d) - 4;
    if (sizeBytes < 0 || (type !== TYPE.copyData && sizeBytes > LONGEST_MESSAGE_BYTES))
      throw malformed(`a message of ${sizeBytes} bytes`);
    this.#type = type;
    this.#left = sizeBytes;
    this.#first = true;
    return used;
  }

  /** Takes a piece of the current body, possibly all of it. */
  #take(piece: Uint8Array): void | Promise<void> {
    const first = this.#first;
    this.#first = false;
    this.#left -= piece.length;
    if (this.#left === 0) this.#headerBytes = 0;
    if (this.#type === TYPE.copyData) return this.#sink.copyData(piece, first, this.#left);
    if (first && this.#left === 0) return this.#sink.message(this.#type, piece);
    this.#body ??= new Uint8Array(piece.length + this.#left);
    this.#body.set(piece, this.#body.length - this.#left - piece.length);
    if (this.#left > 0) return undefined;
    const body = this.#body;
    this.#body = undefined;
    return this.#sink.message(this.#type, body);
  }
}
