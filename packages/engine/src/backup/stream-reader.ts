/** Reads a cluster over the replication protocol. @packageDocumentation */
import { connectReplication, type ReplicationConnection } from '@keyframe/postgres';
import type { BaseFiles } from '@keyframe/repository';
import type { StageOptions } from '../events.ts';
import { createBackupSink } from './backup-sink.ts';
import { assertAllFilesArrived } from './check-manifest.ts';
import { FileList } from './file-list.ts';
import { PAGE_BYTES } from './page-lane.ts';
import type { ReadBackup, ReadCluster, ReadRequest } from './reader.ts';

/** Connects, and tells what the server warns of. */
export function connectSource(
  target: ReadRequest['target'],
  options: StageOptions & { signal: AbortSignal },
): Promise<ReplicationConnection> {
  return connectReplication(target, {
    signal: options.signal,
    onNotice: ({ severity, message, hint }) => {
      if (severity === 'WARNING') options.onEvent?.({ kind: 'warning', message: `the server warns: ${message}`, hint });
    },
  });
}

/** Everything anew; what is as in the base is found by its pages' LSNs and its content. */
export const readStream: ReadCluster = async (request, options) => {
  await using connection = await connectSource(request.target, options);
  return await receive(connection, request, options, 'whole');
};

/** Only blocks that the server's WAL summaries name, and files that have none. */
export function readChangedBlocks(base: BaseFiles): ReadCluster {
  return async (request, options): Promise<ReadBackup> => {
    await using connection = await connectSource(request.target, options);
    // Ours or the server's own: it names each file of the backup, and where its WAL begins and ends.
    await connection.uploadManifest(base.serverManifest(options), options);
    return await receive(connection, request, options, 'incremental');
  };
}

async function receive(
  connection: ReplicationConnection,
  request: ReadRequest,
  options: StageOptions & { signal: AbortSignal },
  kind: 'whole' | 'incremental',
): Promise<ReadBackup> {
  const { copy, now, source } = request;
  const list = new FileList(source);
  const received = createBackupSink(copy, { now, onEvent: options.onEvent, list });
  const incremental = kind === 'incremental';
  const result = await connection.baseBackup({ ...commandOf(request, options), incremental }, received.sink);
  const facts = received.facts();
  assertAllFilesArrived(result.manifest, facts.files);
  const { stopLsn, stopTimeline } = result;
  // The server's own manifest speaks of the bytes it sent: these must be the ones that are stored, and whole files.
  const own = incremental || copy.differs ? undefined : result.manifest;
  return { ...facts, stopLsn, stopTimeline, serverManifest: own ?? list.finish({ ...source, ...facts, stopLsn }) };
}

function commandOf(
  { label, checkpoint, maxRateKiB, source }: ReadRequest,
  { signal }: { signal: AbortSignal },
): Parameters<ReplicationConnection['baseBackup']>[0] {
  // Pages of another size are left to the server's own judgement.
  const verifyChecksums = source.pageBytes !== PAGE_BYTES;
  return { label, checkpoint, signal, verifyChecksums, ...(maxRateKiB === undefined ? {} : { maxRateKiB }) };
}
