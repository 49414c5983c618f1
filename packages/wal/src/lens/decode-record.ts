/**
 * Takes a record apart: block references, images, data.
 * @see DecodeXLogRecord() in src/backend/access/transam/xlogreader.c in PostgreSQL
 * @packageDocumentation
 */
import { lsn } from '@keyframe/contracts';
import type { BlockId } from '../facts.ts';
import type { PostgresMajor } from '../page-header.ts';
import type { RecordBody } from '../record.ts';
import { FLAG, readHeaders } from '../record-headers.ts';
import type { DecodedBlock, DecodedRecord } from './decoded-record.ts';
import { restoreImage, type StoredImage } from './page-image.ts';

const PAGE_BYTES = 8192;

/** The record taken apart; `undefined` when what it holds does not fit what its headers say. */
export function decodeRecord(
  record: RecordBody,
  place: { readonly start: number; readonly end: number },
  major: PostgresMajor,
): DecodedRecord | undefined {
  const headers = readHeaders(record, major);
  if (headers === undefined) return undefined;
  let at = headers.at;
  const blocks: DecodedBlock[] = [];
  for (const { flags, dataBytes, image, ...id } of headers.blocks) {
    const imageBytes = image?.storedBytes ?? 0;
    const stored = image && { ...image, stored: record.bytes.subarray(at, at + imageBytes) };
    at += imageBytes;
    blocks.push(new Block(id, flags, record.bytes.subarray(at, at + dataBytes), stored, image?.applies === true));
    at += dataBytes;
  }
  return {
    lsn: lsn(BigInt(place.start)),
    endLsn: lsn(BigInt(place.end)),
    resourceManager: record.resourceManager,
    info: record.info,
    xid: record.xid,
    topXid: headers.topXid,
    mainData: record.bytes.subarray(at, at + headers.mainBytes),
    blocks,
  };
}

class Block implements DecodedBlock {
  readonly tablespace: number;
  readonly database: number;
  readonly relfilenode: number;
  readonly fork: number;
  readonly block: number;
  readonly willInit: boolean;
  readonly data: Uint8Array;
  readonly imageApplies: boolean;
  readonly #stored: StoredImage | undefined;
  #page: Uint8Array | undefined;

  constructor(id: BlockId, flags: number, data: Uint8Array, image: StoredImage | undefined, applies: boolean) {
    this.tablespace = id.tablespace;
    this.database = id.database;
    this.relfilenode = id.relfilenode;
    this.block = id.block;
    this.fork = flags & FLAG.forkMask;
    this.willInit = (flags & FLAG.willInit) !== 0;
    this.data = data;
    this.imageApplies = applies;
    this.#stored = image;
  }

  get image(): Uint8Array | undefined {
    if (this.#stored !== undefined) this.#page ??= restoreImage(this.#stored, PAGE_BYTES);
    return this.#page;
  }
}
