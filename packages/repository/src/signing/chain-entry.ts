/**
 * One entry of a signed chain: sealed JSON, signed, with its number and the hash of the entry before.
 * @packageDocumentation
 */
import { hash } from 'node:crypto';
import { type Fields, type Json, openSealedJson } from '../format/sealed-json.ts';
import { damaged } from '../objects/damage.ts';
import type { NamedSegments, VouchedBackup } from './signing.ts';

/** Bytes of a WAL file's identity. */
export const IDENTITY_BYTES = 32;

/** Segments of one timeline that follow each other, with the identity of each. */
export interface SignedSegments {
  /** Name of the first. */
  readonly first: string;
  /** {@link IDENTITY_BYTES} each. */
  readonly identities: Buffer;
}

/** A WAL file that is no segment. */
export interface SignedFile {
  readonly name: string;
  /** Hexadecimal. */
  readonly identity: string;
}

/** What a checkpoint vouches for. */
export interface CheckpointContent {
  /** All published backups. */
  readonly backups: readonly VouchedBackup[];
  readonly segmentSizeBytes: number;
  /** Segments that no checkpoint before has named. */
  readonly wal: readonly SignedSegments[];
  /** All other WAL files that recovery may ask for. */
  readonly files: readonly SignedFile[];
  /** All segments that this or an earlier checkpoint named, so that the next one needs to read no other. */
  readonly covered: readonly NamedSegments[];
}

/** What an expiry was about to remove. */
export interface ExpiryContent {
  /** Labels. */
  readonly backups: readonly string[];
  readonly wal: readonly NamedSegments[];
  /** Names of other WAL files. */
  readonly files: readonly string[];
}

/** An entry as it was read. */
export interface ChainEntry {
  readonly number: number;
  /** Hash of the entry before; of nothing before the first. */
  readonly previous: string | undefined;
  readonly createdAt: string;
  /** Kinds that a later version adds are linked like all others and say nothing to this one. */
  readonly kind: string;
  readonly checkpoint: CheckpointContent | undefined;
  readonly expiry: ExpiryContent | undefined;
  /** SHA-256 of its bytes. */
  readonly sha256: string;
}

/** Where a chain belongs. */
export interface ChainPlace {
  readonly repository: string;
  readonly cluster: string;
  readonly epoch: number;
}

/** An object literal is JSON, an interface is not known to be. */
const copyOf = <Members extends Readonly<Record<keyof Members, Json>>>(each: Members): Record<string, Json> => ({
  ...each,
});

/** The members of a checkpoint's `content`. */
export function checkpointJson(content: CheckpointContent): Json {
  const { backups, segmentSizeBytes, wal, files, covered } = content;
  return {
    backups: backups.map(copyOf),
    segmentSizeBytes,
    wal: wal.map(({ first, identities }) => ({ first, identities: identities.toString('base64') })),
    files: files.map(copyOf),
    covered: covered.map(copyOf),
  };
}

/** The members of an expiry's `content`. */
export function expiryJson({ backups, wal, files }: ExpiryContent): Json {
  return { backups: [...backups], wal: wal.map(copyOf), files: [...files] };
}

/** Checks the seal and that the entry belongs to that chain; not its signature. @throws {KeyframeError} CORRUPT */
export function decodeEntry(bytes: Buffer, key: string, place: ChainPlace): ChainEntry {
  const fields = openSealedJson(bytes, key);
  const found = `${fields.text('repository')}, cluster ${fields.text('cluster')}, epoch ${fields.integer('epoch')}`;
  if (found !== `${place.repository}, cluster ${place.cluster}, epoch ${place.epoch}`)
    throw damaged(key, `it belongs to repository ${found}`);
  const kind = fields.text('kind');
  return {
    number: fields.integer('number'),
    previous: fields.has('previous') ? fields.text('previous') : undefined,
    createdAt: fields.text('createdAt'),
    kind,
    checkpoint: kind === 'checkpoint' ? readCheckpoint(fields.object('content'), key) : undefined,
    expiry: kind === 'expiry' ? readExpiry(fields.object('content')) : undefined,
    sha256: hash('sha256', bytes),
  };
}

function readCheckpoint(fields: Fields, key: string): CheckpointContent {
  return {
    backups: fields.list('backups').map((each) => ({ label: each.text('label'), sha256: each.text('sha256') })),
    segmentSizeBytes: fields.integer('segmentSizeBytes'),
    wal: fields.list('wal').map((each) => {
      const identities = Buffer.from(each.text('identities'), 'base64');
      if (identities.length % IDENTITY_BYTES > 0) throw damaged(key, 'a run of its WAL segments ends in the middle');
      return { first: each.text('first'), identities };
    }),
    files: fields.list('files').map((each) => ({ name: each.text('name'), identity: each.text('identity') })),
    covered: readRanges(fields.list('covered')),
  };
}

function readExpiry(fields: Fields): ExpiryContent {
  return { backups: fields.texts('backups'), wal: readRanges(fields.list('wal')), files: fields.texts('files') };
}

function readRanges(list: readonly Fields[]): NamedSegments[] {
  return list.map((each) => ({ first: each.text('first'), last: each.text('last') }));
}
