import { randomUUID } from 'node:crypto';
import { formatLsn, type Lsn, parseLsn } from '@keyframe/contracts';
import {
  type Fields,
  FORMAT,
  type Json,
  openSealedJson,
  parseFields,
  sealJson,
  type SignatureOf,
} from '../format/sealed-json.ts';
import { damaged } from '../objects/damage.ts';
import { originJson, readOrigin } from '../translate/origin.ts';
import type { BackupIntent, BackupRecord, DamagedPage, Fragmentation } from './record.ts';

/** What a manifest says of its backup itself: the record without what is known only when the manifest is written. */
export type DescribedBackup = Omit<BackupRecord, 'manifest' | 'storedBytes'>;

const TYPES = ['full', 'incremental'] as const;
const METHODS = ['stream', 'stream-incremental', 'local'] as const;

/** The content of a `facts` chunk. */
export function encodeDescription(backup: DescribedBackup): Buffer {
  return Buffer.from(JSON.stringify(description(backup)));
}

/** The bytes of `backup.json`. */
export function encodeRecord(record: BackupRecord, signatureOf?: SignatureOf): Buffer {
  const { manifest, storedBytes } = record;
  const reference = { ...manifest, copy: { ...manifest.copy } };
  return sealJson({ ...description(record), storedBytes, manifest: reference }, signatureOf);
}

/** @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export function decodeRecord(bytes: Buffer, key: string): BackupRecord {
  const fields = openSealedJson(bytes, key);
  const manifest = fields.object('manifest');
  const copy = manifest.object('copy');
  return {
    ...readDescription(fields, key),
    storedBytes: fields.integer('storedBytes'),
    manifest: {
      key: manifest.text('key'),
      sizeBytes: manifest.integer('sizeBytes'),
      sha256: manifest.text('sha256'),
      root: manifest.text('root'),
      copy: { key: copy.text('key'), offset: copy.integer('offset') },
    },
  };
}

/** The bytes of `intent`, which no other backup can have: so a create-only write tells whose label it is. */
export function encodeIntent(intent: BackupIntent): Buffer {
  const { holder, origin, ...rest } = intent;
  return sealJson({ ...rest, holder: { ...holder }, origin: originJson(origin), token: randomUUID() });
}

/** @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export function decodeIntent(bytes: Buffer, key: string): BackupIntent {
  const fields = openSealedJson(bytes, key);
  return {
    label: fields.text('label'),
    type: fields.word('type', TYPES),
    method: fields.word('method', METHODS),
    ...(fields.has('parent') ? { parent: fields.text('parent') } : {}),
    ...(fields.has('resumes') ? { resumes: fields.texts('resumes') } : {}),
    startedAt: fields.text('startedAt'),
    holder: readHolder(fields.object('holder')),
    tool: fields.text('tool'),
    ...(fields.has('origin') ? { origin: readOrigin(fields) } : {}),
  };
}

/** Who wrote or holds something. */
export function readHolder(fields: Fields): BackupIntent['holder'] {
  return {
    host: fields.text('host'),
    bootId: fields.text('bootId'),
    pid: fields.integer('pid'),
    processStart: fields.text('processStart'),
    command: fields.text('command'),
  };
}

/** Reads a `facts` chunk. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export function decodeDescription(bytes: Buffer, key: string): DescribedBackup {
  return readDescription(parseFields(bytes, key), key);
}

function description(backup: DescribedBackup): Readonly<Record<string, Json | undefined>> {
  return {
    format: FORMAT,
    label: backup.label,
    type: backup.type,
    method: backup.method,
    parent: backup.parent,
    cluster: backup.cluster,
    epoch: backup.epoch,
    systemIdentifier: backup.systemIdentifier,
    postgresVersion: backup.postgresVersion,
    timeline: backup.timeline,
    startLsn: formatLsn(backup.startLsn),
    stopLsn: formatLsn(backup.stopLsn),
    stopTimeline: backup.stopTimeline,
    startedAt: backup.startedAt,
    stoppedAt: backup.stoppedAt,
    walSegmentSizeBytes: backup.walSegmentSizeBytes,
    dataChecksums: backup.dataChecksums,
    tablespaces: backup.tablespaces.map(({ oid, location }) => ({ oid, location })),
    backupLabel: backup.backupLabel,
    files: backup.files,
    sizeBytes: backup.sizeBytes,
    packs: backup.packs,
    reusedBytes: backup.reusedBytes,
    renewedBytes: backup.renewedBytes,
    unreadBytes: backup.unreadBytes,
    fragmentation: backup.fragmentation && { ...backup.fragmentation },
    damagedPages: backup.damagedPages?.map((page) => ({ ...page })),
    damagedPageCount: backup.damagedPageCount,
    tool: backup.tool,
    origin: originJson(backup.origin),
  };
}

function readDescription(fields: Fields, key: string): DescribedBackup {
  return {
    format: fields.integer('format'),
    label: fields.text('label'),
    type: fields.word('type', TYPES),
    method: fields.word('method', METHODS),
    ...(fields.has('parent') ? { parent: fields.text('parent') } : {}),
    cluster: fields.text('cluster'),
    epoch: fields.integer('epoch'),
    systemIdentifier: fields.text('systemIdentifier'),
    postgresVersion: fields.integer('postgresVersion'),
    timeline: fields.integer('timeline'),
    startLsn: readLsn(fields.text('startLsn'), key),
    stopLsn: readLsn(fields.text('stopLsn'), key),
    stopTimeline: fields.integer('stopTimeline'),
    startedAt: fields.text('startedAt'),
    stoppedAt: fields.text('stoppedAt'),
    walSegmentSizeBytes: fields.integer('walSegmentSizeBytes'),
    dataChecksums: fields.boolean('dataChecksums'),
    tablespaces: fields
      .list('tablespaces')
      .map((each) => ({ oid: each.integer('oid'), location: each.text('location') })),
    backupLabel: fields.text('backupLabel'),
    files: fields.integer('files'),
    sizeBytes: fields.integer('sizeBytes'),
    packs: fields.integer('packs'),
    reusedBytes: fields.has('reusedBytes') ? fields.integer('reusedBytes') : 0,
    ...(fields.has('renewedBytes') ? { renewedBytes: fields.integer('renewedBytes') } : {}),
    ...(fields.has('unreadBytes') ? { unreadBytes: fields.integer('unreadBytes') } : {}),
    ...(fields.has('fragmentation') ? { fragmentation: readFragmentation(fields.object('fragmentation')) } : {}),
    ...(fields.has('damagedPages') ? { damagedPages: fields.list('damagedPages').map(readDamagedPage) } : {}),
    ...(fields.has('damagedPageCount') ? { damagedPageCount: fields.integer('damagedPageCount') } : {}),
    tool: fields.text('tool'),
    ...(fields.has('origin') ? { origin: readOrigin(fields) } : {}),
  };
}

function readFragmentation(fields: Fields): Fragmentation {
  return {
    otherPacks: fields.integer('otherPacks'),
    extents: fields.integer('extents'),
    liveBytes: fields.integer('liveBytes'),
    frameBytes: fields.integer('frameBytes'),
    readBytes: fields.integer('readBytes'),
  };
}

function readDamagedPage(fields: Fields): DamagedPage {
  const place = { path: fields.text('path'), block: fields.integer('block') };
  return fields.has('relation') ? { ...place, relation: fields.text('relation') } : place;
}

function readLsn(text: string, key: string): Lsn {
  try {
    return parseLsn(text);
  } catch (error) {
    throw damaged(key, `${JSON.stringify(text)} is no LSN`, { cause: error });
  }
}
