/**
 * START_REPLICATION for a physical slot: WAL as the server flushes it.
 * @see https://www.postgresql.org/docs/18/protocol-replication.html#PROTOCOL-REPLICATION-START-REPLICATION
 * @packageDocumentation
 */
import { type Abortable, formatLsn, KeyframeError, type Lsn, lsn, type TimelineId } from '@keyframe/contracts';
import type { Row } from '../wire/backend.ts';
import { malformed } from '../wire/errors.ts';
import { message } from '../wire/frontend.ts';
import type { Session } from '../wire/session.ts';
import { command, type CommandHandler } from './command.ts';
import { readLsn, readTimeline } from './fields.ts';

/** Where to begin, and on what. */
export interface WalStreamOptions extends Abortable {
  /** Physical replication slot that keeps what was not reported as flushed. */
  readonly slot: string;
  /** First byte that is wanted. */
  readonly start: Lsn;
  /** Timeline on which it lies; an older one than the server's ends where the server left it. */
  readonly timeline: TimelineId;
}

/** What has become of the WAL that came: each the LSN behind the last byte. */
export interface WalPositions {
  readonly write: Lsn;
  /** Up to here the server may forget it, and a commit that waits for this receiver returns. */
  readonly flush: Lsn;
  readonly apply: Lsn;
}

/** Says to the server what has been done, at any time while it sends. */
export interface WalStream {
  report(positions: WalPositions): void;
  /** Asks the server to end the stream; what it has sent meanwhile still comes. */
  stop(): void;
}

/** Takes the stream. Nothing is called twice at once. */
export interface WalStreamSink {
  /** The server begins to send. */
  begin(stream: WalStream): void;
  /**
   * WAL as it came off the socket, in order and without a gap. The view is valid during the call, or until the returned
   * promise settles; until then nothing is read from the server.
   */
  wal(view: Uint8Array, at: Lsn): void | Promise<void>;
  /** The server has sent everything up to `walEnd`, and may want an answer at once. */
  keepalive(walEnd: Lsn, replyRequested: boolean): void;
}

/** The timeline that was sent has ended: the next one, and where it begins. */
export interface TimelineSwitch {
  readonly timeline: TimelineId;
  readonly lsn: Lsn;
}

const LETTER = { wal: 0x77, keepalive: 0x6b } as const;
/** Letter, start, end and time. */
const WAL_HEADER_BYTES = 25;
/** Letter, end, time, whether an answer is wanted. */
const KEEPALIVE_BYTES = 18;
const STATUS_BYTES = 34;
const MICROS_TO_2000 = 946_684_800_000_000n;

/** Runs START_REPLICATION to its end; see the interface {@link ReplicationConnection}. */
export async function streamWal(
  session: Session,
  { slot, start, timeline, signal }: WalStreamOptions,
  sink: WalStreamSink,
): Promise<TimelineSwitch | undefined> {
  const receiver = new WalReceiver(session, sink);
  const text = `START_REPLICATION SLOT ${slotName(slot)} PHYSICAL ${formatLsn(start)} TIMELINE ${timeline}`;
  await command(session, text, receiver, signal);
  return receiver.next;
}

/** @throws {KeyframeError} INVALID_OPTION for what PostgreSQL does not accept as the name of a slot */
export function slotName(name: string): string {
  if (/^[a-z0-9_]{1,63}$/.test(name)) return `"${name}"`;
  throw new KeyframeError('INVALID_OPTION', `${JSON.stringify(name)} is no name of a replication slot`, {
    hint: 'Set `receive.slot` to 1 to 63 of a-z, 0-9 and _.',
  });
}

class WalReceiver implements CommandHandler, WalStream {
  readonly #session: Session;
  readonly #sink: WalStreamSink;
  /** Head of the current message, which may come in pieces. */
  readonly #head = new DataView(new ArrayBuffer(WAL_HEADER_BYTES));
  readonly #headBytes: Uint8Array;
  #headFilled = 0;
  #headSize = 0;
  /** Of the next byte of WAL. */
  #position = 0n;
  /** No CopyDone of ours was sent. */
  #open = false;
  next: TimelineSwitch | undefined;

  constructor(session: Session, sink: WalStreamSink) {
    this.#session = session;
    this.#sink = sink;
    this.#headBytes = new Uint8Array(this.#head.buffer);
  }

  row(row: Row): void {
    this.next = { timeline: readTimeline(row[0]), lsn: readLsn(row[1]) };
  }

  copyBoth(): void {
    this.#open = true;
    this.#sink.begin(this);
  }

  copyDone(): void {
    this.stop();
  }

  copyData(view: Uint8Array, first: boolean, leftBytes: number): void | Promise<void> {
    let body = view;
    if (first) {
      this.#headFilled = 0;
      this.#headSize = view[0] === LETTER.keepalive ? KEEPALIVE_BYTES : WAL_HEADER_BYTES;
      if (view[0] !== LETTER.wal && view[0] !== LETTER.keepalive)
        throw malformed(`a replication message of type ${view[0]}`);
    }
    if (this.#headFilled < this.#headSize) {
      const count = Math.min(this.#headSize - this.#headFilled, view.length);
      this.#headBytes.set(view.subarray(0, count), this.#headFilled);
      this.#headFilled += count;
      if (this.#headFilled < this.#headSize) {
        if (leftBytes === 0) throw malformed('a replication message that is cut short');
        return undefined;
      }
      this.#begin();
      body = view.subarray(count);
    }
    if (body.length === 0 || this.#headSize === KEEPALIVE_BYTES) return undefined;
    const at = this.#position;
    this.#position += BigInt(body.length);
    return this.#sink.wal(body, at as Lsn);
  }

  #begin(): void {
    const head = this.#head;
    const position = head.getBigUint64(1);
    if (this.#headSize === KEEPALIVE_BYTES) this.#sink.keepalive(lsn(position), head.getUint8(17) !== 0);
    else this.#position = position;
  }

  report({ write, flush, apply }: WalPositions): void {
    if (!this.#open || !this.#session.usable) return;
    const body = Buffer.alloc(STATUS_BYTES);
    body.write('r', 0, 'latin1');
    body.writeBigUInt64BE(write, 1);
    body.writeBigUInt64BE(flush, 9);
    body.writeBigUInt64BE(apply, 17);
    body.writeBigInt64BE(BigInt(Date.now()) * 1000n - MICROS_TO_2000, 25);
    this.#session.send(message('d', body));
  }

  stop(): void {
    if (!this.#open || !this.#session.usable) return;
    this.#open = false;
    this.#session.send(message('c'));
  }
}
