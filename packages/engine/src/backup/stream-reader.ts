/** Reads a cluster over the replication protocol. @packageDocumentation */
import { connectReplication, type ReplicationConnection } from '@keyframe/postgres';
import type { StageOptions } from '../events.ts';
import { createBackupSink } from './backup-sink.ts';
import { assertAllFilesArrived } from './check-manifest.ts';
import { FileList, type ListedFile, manifestPieces } from './file-list.ts';
import { PAGE_BYTES } from './page-lane.ts';
import type { ReadBackup, ReadBase, ReadCluster, ReadRequest } from './reader.ts';

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
  const received = createBackupSink(request.copy, { now: request.now, onEvent: options.onEvent });
  const result = await connection.baseBackup(commandOf(request, options), received.sink);
  const facts = received.facts();
  assertAllFilesArrived(result.manifest, facts.files);
  return { ...facts, stopLsn: result.stopLsn, stopTimeline: result.stopTimeline, serverManifest: result.manifest };
};

/** Only blocks that the server's WAL summaries name, and files that have none. */
export function readChangedBlocks(base: ReadBase): ReadCluster {
  return async (request, options): Promise<ReadBackup> => {
    await using connection = await connectSource(request.target, options);
    const { systemIdentifier, postgresVersion } = request.source;
    const { timeline, startLsn, stopLsn } = base.record;
    const known = { systemIdentifier, postgresVersion, timeline, startLsn, stopLsn };
    await connection.uploadManifest(manifestPieces(filesOf(base, options), known), options);
    // The server's own manifest speaks of the blocks it sent, not of whole files.
    const list = new FileList({ systemIdentifier, postgresVersion });
    const received = createBackupSink(request.copy, { now: request.now, onEvent: options.onEvent, list });
    const result = await connection.baseBackup({ ...commandOf(request, options), incremental: true }, received.sink);
    const facts = received.facts();
    assertAllFilesArrived(result.manifest, facts.files);
    const { stopLsn: end, stopTimeline } = result;
    const taken = {
      systemIdentifier,
      postgresVersion,
      timeline: facts.timeline,
      startLsn: facts.startLsn,
      stopLsn: end,
    };
    return { ...facts, stopLsn: end, stopTimeline, serverManifest: list.finish(taken) };
  };
}

function commandOf(
  { label, checkpoint, maxRateKiB, source }: ReadRequest,
  { signal }: { signal: AbortSignal },
): Parameters<ReplicationConnection['baseBackup']>[0] {
  // Pages of another size are left to the server's own judgement.
  const verifyChecksums = source.pageBytes !== PAGE_BYTES;
  return { label, checkpoint, signal, verifyChecksums, ...(maxRateKiB === undefined ? {} : { maxRateKiB }) };
}

async function* filesOf(base: ReadBase, options: StageOptions): AsyncGenerator<ListedFile> {
  const manifest = await base.manifest();
  for await (const entry of manifest.entries(options)) if (entry.type === 'file') yield entry;
}
