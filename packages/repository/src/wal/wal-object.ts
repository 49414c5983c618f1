/**
 * A WAL file as one object: header first, so that one small read tells what it is; frames; frame table; footer.
 * @packageDocumentation
 */
import type { EpochContext } from '../epoch-context.ts';
import { encryptionOf, type ObjectEncryption } from '../encryption/object-encryption.ts';
import type { NewObject } from '../encryption/writing-keys.ts';
import { decodeHead } from '../format/container.ts';
import { ContainerLayout, encodeFrame } from '../format/container-layout.ts';
import type { Fields, Json } from '../format/sealed-json.ts';
import { damaged } from '../objects/damage.ts';
import { originJson, readOrigin } from '../translate/origin.ts';
import type { WalObjectHeader } from './wal-archive.ts';
import type { WalBody } from './wal-body.ts';

const KINDS = ['segment', 'history', 'backup', 'partial', 'part'] as const;

/** A range read of this size from the start holds the whole header. */
export const HEADER_READ_BYTES = 4096;

/** The header of an object of this archive, as JSON. */
function headerOf(
  context: EpochContext,
  header: WalObjectHeader,
  encryption: NewObject | undefined,
): Readonly<Record<string, Json | undefined>> {
  const { format: _, identity, generation: __, codec, adoption, origin, ...place } = header;
  const hash = encryption === undefined ? { sha256: identity } : { hmac: identity };
  const rest = { ...place, ...hash, codec, adoption, origin: originJson(origin), encryption: encryption?.header };
  return { repository: context.repositoryId, cluster: context.cluster, epoch: context.epoch.number, ...rest };
}

/** An object copied here from elsewhere proves itself, but not that it belongs here. */
function assertOurs({ repositoryId, cluster, epoch }: EpochContext, fields: Fields, key: string): void {
  const origin = `${fields.text('repository')}, cluster ${fields.text('cluster')}, epoch ${fields.integer('epoch')}`;
  if (origin !== `${repositoryId}, cluster ${cluster}, epoch ${epoch.number}`)
    throw damaged(key, `it belongs to repository ${origin}`);
}

/** Which files tell of timelines and backups and hold no page: also a host that cannot read data needs them. */
export function isIndex({ kind }: Pick<WalObjectHeader, 'kind'>): boolean {
  return kind === 'history' || kind === 'backup';
}

/** A header with what decrypts its object. */
export interface OpenedHeader extends WalObjectHeader {
  readonly encryption: ObjectEncryption | undefined;
}

/** @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export function readHeader(context: EpochContext, head: Buffer, key: string): OpenedHeader {
  const fields = decodeHead(head, 'wal', key);
  assertOurs(context, fields, key);
  const encryption = encryptionOf(fields);
  const identity = fields.text(encryption === undefined ? 'sha256' : 'hmac');
  return {
    encryption,
    format: fields.integer('format'),
    name: fields.text('name'),
    kind: fields.word('kind', KINDS),
    systemIdentifier: fields.text('systemIdentifier'),
    timeline: fields.integer('timeline'),
    segmentSizeBytes: fields.has('segmentSizeBytes') ? fields.integer('segmentSizeBytes') : undefined,
    sizeBytes: fields.integer('sizeBytes'),
    identity,
    generation: encryption?.generation ?? 0,
    codec: fields.text('codec'),
    adoption: fields.has('adoption') ? fields.text('adoption') : undefined,
    ...(fields.has('origin') ? { origin: readOrigin(fields) } : {}),
  };
}

/** The bytes of an object. Throws before its end when the content is not what was hashed. */
export async function* encodeWalObject(
  context: EpochContext,
  body: WalBody,
  header: WalObjectHeader,
  encryption: NewObject | undefined,
): AsyncGenerator<Uint8Array> {
  const layout = new ContainerLayout('wal', headerOf(context, header, encryption));
  yield layout.head;
  for await (const { payload, plainBytes } of body.frames()) {
    const frame = encodeFrame({ number: layout.entries.length, plainBytes, payload, cipher: encryption?.frames });
    layout.add(frame, plainBytes);
    yield frame;
  }
  const { table, footer } = layout.end();
  yield table;
  yield footer;
}
