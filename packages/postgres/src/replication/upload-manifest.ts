import type { Abortable } from '@keyframe/contracts';
import { readText } from '../wire/backend.ts';
import { malformed } from '../wire/errors.ts';
import { message, queryMessage } from '../wire/frontend.ts';
import type { MessageSink } from '../wire/framer.ts';
import { TYPE } from '../wire/message-type.ts';
import type { Session } from '../wire/session.ts';
import { requireIncremental } from './base-backup-command.ts';
import { incrementalFault } from './incremental-fault.ts';
import { parseServerVersion } from './version.ts';

const COPY_DATA = 'd';
const COPY_DONE = 'c';
const LONGEST_PIECE_BYTES = 64 << 10;

/** Runs UPLOAD_MANIFEST; see the interface {@link ReplicationConnection}. */
export async function uploadManifest(
  session: Session,
  manifest: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: Abortable = {},
): Promise<void> {
  requireIncremental(parseServerVersion(session.parameters.get('server_version') ?? ''));
  const sink: MessageSink = {
    copyData: () => {
      throw malformed('copy data that nothing asked for');
    },
    message: (type, body) => {
      switch (type) {
        case TYPE.copyInResponse:
          // Whatever is wrong with it the server takes all of it first: nothing has to be read meanwhile.
          return send(session, manifest);
        case TYPE.commandComplete:
          readText(body, 0);
          return undefined;
        default:
          throw malformed(`an unexpected message of type ${type}`);
      }
    },
  };
  try {
    await session.exchange(queryMessage('UPLOAD_MANIFEST'), sink, options.signal);
  } catch (error) {
    throw incrementalFault(error);
  }
}

async function send(session: Session, manifest: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of manifest)
    for (let offset = 0; offset < chunk.length && session.usable; offset += LONGEST_PIECE_BYTES)
      if (!session.send(message(COPY_DATA, chunk.subarray(offset, offset + LONGEST_PIECE_BYTES))))
        await session.transport.drained();
  session.send(message(COPY_DONE));
}
