import { readRow, readText, type Row } from '../wire/backend.ts';
import { malformed } from '../wire/errors.ts';
import { queryMessage } from '../wire/frontend.ts';
import type { MessageSink } from '../wire/framer.ts';
import { TYPE } from '../wire/message-type.ts';
import type { Session } from '../wire/session.ts';

/** Takes the answer to one command. A promise means "wait". */
export interface CommandHandler {
  row?(row: Row): void;
  /** A result set, or the command itself, is complete. */
  complete?(): void | Promise<void>;
  /** The server starts to send. */
  copyOut?(): void | Promise<void>;
  /** The server starts to send, and takes answers meanwhile. */
  copyBoth?(): void | Promise<void>;
  /** See {@link MessageSink.copyData}. */
  copyData?(view: Uint8Array, first: boolean, leftBytes: number): void | Promise<void>;
  copyDone?(): void | Promise<void>;
}

/** Runs a walsender command and hands its answer to `handler`. */
export function command(session: Session, text: string, handler: CommandHandler, signal?: AbortSignal): Promise<void> {
  return session.exchange(queryMessage(text), commandSink(handler), signal);
}

function commandSink(handler: CommandHandler): MessageSink {
  return {
    copyData: (view, first, left) => {
      if (handler.copyData === undefined) throw malformed('copy data that nothing asked for');
      return handler.copyData(view, first, left);
    },
    message: (type, body) => {
      switch (type) {
        case TYPE.dataRow:
          return handler.row?.(readRow(body));
        case TYPE.commandComplete:
          readText(body, 0);
          return handler.complete?.();
        case TYPE.copyOutResponse:
          return handler.copyOut?.();
        case TYPE.copyBothResponse:
          if (handler.copyBoth === undefined) throw malformed('a stream that nothing asked for');
          return handler.copyBoth();
        case TYPE.copyDone:
          return handler.copyDone?.();
        case TYPE.rowDescription:
        case TYPE.emptyQueryResponse:
          return undefined;
        default:
          throw malformed(`an unexpected message of type ${type}`);
      }
    },
  };
}
