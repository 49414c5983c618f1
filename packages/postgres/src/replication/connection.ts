import { type Abortable, KeyframeError } from '@keyframe/contracts';
import type { ConnectionTarget, ServerHost } from '../connection/target.ts';
import { Authentication } from '../wire/authentication.ts';
import type { Row, ServerNotice } from '../wire/backend.ts';
import { connectFirst } from '../wire/connect.ts';
import { startupMessage } from '../wire/frontend.ts';
import { Session } from '../wire/session.ts';
import type { Endpoint } from '../wire/socket.ts';
import { Transport } from '../wire/transport.ts';
import { baseBackup } from './base-backup.ts';
import { command } from './command.ts';
import { readLsn, readString, readTimeline } from './fields.ts';
import type { ReplicationConnection } from './types.ts';
import { createPhysicalSlot, dropPhysicalSlot, readPhysicalSlot } from './slot.ts';
import { uploadManifest } from './upload-manifest.ts';
import { parseServerVersion } from './version.ts';
import { streamWal } from './wal-stream.ts';

/** The signal ends the attempt to connect; commands take their own. */
export interface ConnectReplicationOptions extends Abortable {
  /** Called for warnings and notices of the server. Default: they are dropped. */
  readonly onNotice?: ((notice: ServerNotice) => void) | undefined;
}

/**
 * Opens a connection for physical replication to the first server of `target` that accepts it.
 * @throws {KeyframeError} SERVER_UNREACHABLE, SERVER_REFUSED, SERVER_ERROR, INVALID_OPTION
 * @see https://www.postgresql.org/docs/18/protocol-replication.html
 */
export async function connectReplication(
  target: ConnectionTarget,
  options: ConnectReplicationOptions = {},
): Promise<ReplicationConnection> {
  const session = await connectFirst<Session>(
    target,
    {
      open: (endpoint, host, signal) => openSession({ target, host, endpoint, signal, onNotice: options.onNotice }),
      facts: ({ parameters }) => ({
        standby: parameters.get('in_hot_standby') === 'on',
        readOnly: parameters.get('default_transaction_read_only') === 'on',
      }),
      close: (opened) => opened.close(),
    },
    options,
  );
  return replicationConnection(session);
}

interface Opening {
  readonly target: ConnectionTarget;
  readonly host: ServerHost;
  readonly endpoint: Endpoint;
  readonly signal: AbortSignal;
  readonly onNotice: ConnectReplicationOptions['onNotice'];
}

async function openSession({ target, host, endpoint, signal, onNotice }: Opening): Promise<Session> {
  const { ssl, keepAliveSeconds, user, channelBinding } = target;
  const transport = await Transport.open(endpoint, { ssl, keepAliveSeconds, signal });
  const session = new Session(transport, { user, onNotice });
  const credentials = { user, password: host.replicationPassword, channelBinding };
  const channel = {
    encrypted: transport.encrypted,
    certificate: transport.certificate,
    send: (bytes: Uint8Array): void => void session.send(bytes),
  };
  const startup = startupMessage({
    user,
    // The server ignores it for physical replication; poolers and pg_basebackup know this name.
    database: 'replication',
    replication: 'true',
    application_name: target.applicationName,
    client_encoding: 'UTF8',
    options: target.options,
  });
  await session.exchange(startup, new Authentication(credentials, channel), signal);
  return session;
}

function replicationConnection(session: Session): ReplicationConnection {
  const close = (): Promise<void> => session.close();
  return {
    parameters: session.parameters,
    versionNumber: parseServerVersion(session.parameters.get('server_version') ?? ''),

    async identifySystem(options) {
      const [systemIdentifier, timeline, position] = await singleRow(session, 'IDENTIFY_SYSTEM', options);
      return {
        systemIdentifier: readString(systemIdentifier),
        timeline: readTimeline(timeline),
        lsn: readLsn(position),
      };
    },

    async show(setting, options) {
      if (!/^[A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)*$/.test(setting))
        throw new KeyframeError('INVALID_OPTION', `${JSON.stringify(setting)} is no name of a setting`, {
          hint: 'Name a setting of the server, such as wal_segment_size (`show all` lists them).',
        });
      const [value] = await singleRow(session, `SHOW ${setting}`, options);
      return readString(value);
    },

    async timelineHistory(timeline, options) {
      if (!Number.isInteger(timeline) || timeline < 1)
        throw new KeyframeError('INVALID_OPTION', `${timeline} is no timeline`, {
          hint: 'Give a timeline id from 1 on, such as `select timeline_id from pg_control_checkpoint()` shows.',
        });
      const [name, content] = await singleRow(session, `TIMELINE_HISTORY ${timeline}`, options);
      return { name: readString(name), content: content ?? Buffer.alloc(0) };
    },

    baseBackup: (options, sink) => baseBackup(session, options, sink),
    uploadManifest: (manifest, options) => uploadManifest(session, manifest, options),
    streamWal: (options, sink) => streamWal(session, options, sink),
    createSlot: (name, options) => createPhysicalSlot(session, name, options),
    dropSlot: (name, options) => dropPhysicalSlot(session, name, options),
    readSlot: (name, options) => readPhysicalSlot(session, name, options),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function singleRow(session: Session, text: string, options?: Abortable): Promise<Row> {
  const rows: Row[] = [];
  await command(session, text, { row: (row) => void rows.push(row) }, options?.signal);
  const [row] = rows;
  if (row === undefined)
    throw new KeyframeError('SERVER_ERROR', `the server gave no answer to ${text}`, {
      hint: 'Run `keyframe doctor`; a proxy between may not know the replication protocol.',
    });
  return row;
}
